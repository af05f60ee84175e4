#!/bin/sh
# Build the test control plane (kube-apiserver, kube-controller-manager, kube-scheduler, etcd, kwok) from the published Go modules,
# into $KUBEBUILDER_ASSETS or, where that is not set, a cache folder in which the cluster tests look by themselves.
set -eu
kubernetes=1.36.3
etcd=3.6.16
kwok=0.8.0
needs_go=1.26

out=${KUBEBUILDER_ASSETS:-${XDG_CACHE_HOME:-$HOME/.cache}/llmserve-tests/testbed-built}
versions="kubernetes $kubernetes, etcd $etcd, kwok $kwok"
say() { printf '==> %s\n' "$*"; }
fail() { printf 'make testbed: %s\n' "$*" >&2; exit 1; }

command -v go >/dev/null || fail "needs Go $needs_go or later, and there is no go on PATH: https://go.dev/dl/"
has_go=$(go env GOVERSION | sed 's/^go//; s/[^0-9.].*//')
oldest=$(printf '%s\n' "$needs_go" "$has_go" | sort -t. -k1,1n -k2,2n | head -n 1)
[ "$oldest" = "$needs_go" ] || fail "Kubernetes $kubernetes needs Go $needs_go or later; $(command -v go) is $has_go: https://go.dev/dl/"

if [ "$(cat "$out/versions" 2>/dev/null)" = "$versions" ]; then
    say "$out holds $versions already"
    exit 0
fi
mkdir -p "$out"
rm -f "$out/versions"
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
    say "building $1"
    go build -trimpath -ldflags "-s -w ${3:-}" -o "$work/bin/$1" "$2"
    mv "$work/bin/$1" "$out/$1"
}

say "$versions into $out; about five minutes on four cores, and 3 GB of Go's caches"
mkdir "$work/bin"

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

module etcd go.etcd.io/etcd/server/v3 "$etcd"
build etcd go.etcd.io/etcd/server/v3

module kwok sigs.k8s.io/kwok "$kwok"
build kwok sigs.k8s.io/kwok/cmd/kwok

echo "$versions" >"$out/versions"
say "ready: make test-cluster finds it${KUBEBUILDER_ASSETS:+ while KUBEBUILDER_ASSETS=$out is set}"
