"""What ``make testbed`` takes of what setup-envtest left on a machine, and what it builds: its plan, over made-up folders."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "testbed.sh"
ENVTEST = ("kube-apiserver", "etcd", "kubectl")

pytestmark = pytest.mark.skipif(not SCRIPT.exists() or not shutil.which("sh"), reason="needs a checkout and a shell")


def program(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def binaries(folder: Path, version: str, *names: str) -> Path:
    """A folder of programs that know nothing but their version."""
    for name in names:
        program(folder / name, f'echo "{"Kubernetes v" if name.startswith("kube") else "version "}{version}"')
    return folder


def plan(home: Path, **environment: str) -> dict[str, str]:
    """What ``testbed.sh plan`` says: binary to its path, or to ``built, …``."""
    run = subprocess.run(
        ["sh", str(SCRIPT), "plan"],
        env={"HOME": str(home), "PATH": f"{home / 'bin'}:/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split(": ", 1) for line in run.stdout.splitlines())


def taken(said: dict[str, str]) -> dict[str, str]:
    assert set(said) == {"kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler", "kwok"}
    return {name: where for name, where in said.items() if not where.startswith("built, ")}


def store(home: Path) -> Path:
    """Where setup-envtest keeps what it downloaded."""
    return home / ".local" / "share" / "kubebuilder-envtest" / "k8s"


def test_a_bare_machine_builds_all(tmp_path: Path) -> None:
    assert taken(plan(tmp_path)) == {}


def test_the_newest_of_the_series_in_the_default_store(tmp_path: Path) -> None:
    for version in ("1.36.2", "1.36.10", "1.35.9", "1.37.0"):
        binaries(store(tmp_path) / f"{version}-linux-amd64", version, *ENVTEST)
    newest = store(tmp_path) / "1.36.10-linux-amd64"
    assert taken(plan(tmp_path)) == {name: str(newest / name) for name in ("kube-apiserver", "etcd")}


def test_data_home_moves_the_store(tmp_path: Path) -> None:
    folder = binaries(tmp_path / "with space" / "kubebuilder-envtest" / "k8s" / "1.36.0-linux-amd64", "1.36.0", *ENVTEST)
    said = taken(plan(tmp_path, XDG_DATA_HOME=str(tmp_path / "with space")))
    assert said["kube-apiserver"] == str(folder / "kube-apiserver")


def test_what_is_named_comes_before_what_setup_envtest_says(tmp_path: Path) -> None:
    told = binaries(tmp_path / "told", "1.36.1", *ENVTEST)
    program(tmp_path / "bin" / "setup-envtest", f'[ "$*" = "use -i -p path 1.36.x" ] && printf %s "{told}"')
    binaries(store(tmp_path) / "1.36.9-linux-amd64", "1.36.9", *ENVTEST)
    assert taken(plan(tmp_path))["etcd"] == str(told / "etcd")
    named = binaries(tmp_path / "named", "1.36.0", *ENVTEST, "kube-scheduler")
    said = taken(plan(tmp_path, KUBEBUILDER_ASSETS=str(named)))
    assert said == {name: str(named / name) for name in ("kube-apiserver", "etcd", "kube-scheduler")}


def test_another_minor_version_gives_etcd_alone(tmp_path: Path) -> None:
    """The controller manager may not be newer than the API server."""
    named = binaries(tmp_path / "named", "1.33.0", *ENVTEST)
    assert taken(plan(tmp_path, KUBEBUILDER_ASSETS=str(named))) == {"etcd": str(named / "etcd")}


def test_what_does_not_run_here_is_not_taken(tmp_path: Path) -> None:
    named = binaries(tmp_path / "named", "1.36.0", *ENVTEST)
    program(named / "kube-apiserver", "exit 126")
    (named / "etcd").chmod(0o644)
    assert taken(plan(tmp_path, KUBEBUILDER_ASSETS=str(named))) == {}
