#!/bin/sh
# Put the test control plane together in a cache folder in which the cluster tests look by themselves: kube-apiserver and etcd as
# setup-envtest has put them on this machine, where they fit; what is missing is built from the published Go modules.
# envtest has neither kube-controller-manager nor kube-scheduler nor kwok, so these are built unless somebody put them beside its
# own (kubectl, its third, is not needed). `scripts/testbed.sh plan` only says what would come from where.
set -eu
kubernetes=1.36.3
etcd=3.6.16
kwok=0.8.0
needs_go=1.26
series=${kubernetes%.*}

out=${XDG_CACHE_HOME:-$HOME/.cache}/llmserve-tests/testbed-built
say() { printf '==> %s\n' "$*"; }
fail() { printf 'make testbed: %s\n' "$*" >&2; exit 1; }

# Folders with envtest's binaries, one a line, best first: the one named, what setup-envtest says (of what is installed; it would
# download otherwise), its default store, newest version first.
envtest_folders() {
    if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then printf '%s\n' "$KUBEBUILDER_ASSETS"; fi
    if command -v setup-envtest >/dev/null; then
        setup-envtest use -i -p path "$series.x" 2>/dev/null || true
        echo # its path ends without a newline
    fi
    for store in "${XDG_DATA_HOME:-$HOME/.local/share}/kubebuilder-envtest" "$HOME/Library/Application Support/io.kubebuilder.envtest"; do
        printf '%s\n' "$store/k8s/$series".*
    done | sort -rV
}

# Whether the binary $1 runs here and, if it is Kubernetes' own, is of our minor version: its parts may not be further apart.
fits() {
    [ -x "$1" ] || return 1
    said=$("$1" --version </dev/null 2>/dev/null) || return 1
    case $1 in
        */kube-*) case $said in *"v$series."*) ;; *) return 1 ;; esac ;;
    esac
}

# Where the binary $1 is taken from, or nothing.
taken_from() {
    envtest_folders | while IFS= read -r folder; do
        if [ -n "$folder" ] && fits "$folder/$1"; then
            printf '%s\n' "$folder/$1"
            break
        fi
    done
}

plan=
missing=
for name in kube-apiserver etcd kube-controller-manager kube-scheduler kwok; do
    case $name in kube-*) version=$kubernetes ;; etcd) version=$etcd ;; kwok) version=$kwok ;; esac
    from=$(taken_from "$name")
    [ -n "$from" ] || missing="$missing $name"
    plan="$plan$name: ${from:-built, $version}
"
done
if [ "${1:-}" = plan ]; then
    printf '%s' "$plan"
    exit 0
fi

complete=yes
for name in kube-apiserver etcd kube-controller-manager kube-scheduler kwok; do
    [ -x "$out/$name" ] || complete=no # a link whose end was cleaned away is none
done
if [ "$complete" = yes ] && [ "$(cat "$out/plan" 2>/dev/null)" = "${plan%?}" ]; then
    say "$out holds all of it already"
    exit 0
fi

mkdir -p "$out"
rm -f "$out/plan"
for name in kube-apiserver etcd kube-controller-manager kube-scheduler kwok; do
    from=$(taken_from "$name")
    [ -z "$from" ] || ln -sf "$from" "$out/$name"
done
printf '%s' "$plan"
wanted() { case " $missing " in *" $1 "*) ;; *) return 1 ;; esac; }

if [ -n "$missing" ]; then
    command -v go >/dev/null || fail "has to build$missing: needs Go $needs_go or later, and there is no go on PATH: https://go.dev/dl/"
    has_go=$(go env GOVERSION | sed 's/^go//; s/[^0-9.].*//')
    oldest=$(printf '%s\n' "$needs_go" "$has_go" | sort -t. -k1,1n -k2,2n | head -n 1)
    [ "$oldest" = "$needs_go" ] || fail "Kubernetes $kubernetes needs Go $needs_go or later; $(command -v go) is $has_go: https://go.dev/dl/"
    say "building$missing into $out; all of it takes five minutes on four cores, and 3 GB of Go's caches"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CGO_ENABLED=0 GOFLAGS=-mod=mod GOWORK=off

# Each in a module of its own, since the versions of their dependencies differ; `go install` refuses modules with replacements.
module() {
    mkdir "$work/$1"
    cd "$work/$1"
    go mod init "testbed/$1" 2>/dev/null
    go mod edit -require "$2@v$3"
}
build() {
    wanted "$1" || return 0
    say "building $1"
    rm -f "$out/$1"
    go build -trimpath -ldflags "-s -w ${3:-}" -o "$work/bin/$1" "$2"
    mv "$work/bin/$1" "$out/$1"
}

mkdir "$work/bin"

if wanted kube-apiserver || wanted kube-controller-manager || wanted kube-scheduler; then
    module kubernetes k8s.io/kubernetes "$kubernetes"
    # Its go.mod asks for v0.0.0 of the modules that lie in its own tree; published they are v0.<minor>.<patch>.
    go mod download "k8s.io/kubernetes@v$kubernetes"
    for staged in $(sed -n 's|^[[:space:]]*\(k8s\.io/[a-z-]*\) v0\.0\.0$|\1|p' "$(go env GOMODCACHE)/cache/download/k8s.io/kubernetes/@v/v$kubernetes.mod"); do
        go mod edit -replace "$staged=$staged@v0.${kubernetes#1.}"
    done
    minor=${kubernetes#1.}
    version=k8s.io/component-base/version
    flags="-X $version.gitVersion=v$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=${minor%%.*}"
    for name in kube-apiserver kube-controller-manager kube-scheduler; do
        build "$name" "k8s.io/kubernetes/cmd/$name" "$flags"
    done
fi

if wanted etcd; then
    module etcd go.etcd.io/etcd/server/v3 "$etcd"
    build etcd go.etcd.io/etcd/server/v3
fi

if wanted kwok; then
    module kwok sigs.k8s.io/kwok "$kwok"
    build kwok sigs.k8s.io/kwok/cmd/kwok
fi

printf '%s' "$plan" >"$out/plan"
say "ready: make test-cluster finds it"
