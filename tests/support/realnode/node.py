"""A real node beside the test control plane, on this machine: containerd, runc, a bridge for the pods, and the kubelet.

Needs root on Linux. Everything runs in a mount and a PID namespace of its own (``init.py``), so nothing outlives the test run.
What a namespace does not take along, the bridge and a cgroup in each hierarchy, :meth:`Node.stop` removes, or the next run where
this one was killed. The pods' bridge has no way off this machine, and every registry that no test names is a closed port.
What each setting is for was found out in ``../shared/testbed/node/README.md``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from support.controlplane import unpacked

HERE = Path(__file__).parent
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROGRAMS = ("unshare", "ip", "mount", "ldd")
CLOSED = "http://127.0.0.1:1"
"""Where every registry leads that no test names: nothing is asked of the world outside."""
PAUSE = "llms.test/pause:1"
CGROUPS = Path("/sys/fs/cgroup")

CONTAINERD = """
version = 3
root = "{folder}/containerd"
state = "/run/containerd"
imports = []
disabled_plugins = [
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing", "io.containerd.nri.v1.nri",
  "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.native",
  "io.containerd.differ.v1.erofs",
]
[grpc]
  address = "{folder}/containerd.sock"
[ttrpc]
  address = "/run/containerd/containerd.sock.ttrpc"
[plugins.'io.containerd.internal.v1.opt']
  path = "{folder}/opt"
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "{pause}"
  [plugins.'io.containerd.cri.v1.images'.registry]
    config_path = "{folder}/certs.d"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true  # without CAP_SYS_RESOURCE runc cannot lower the pause container's
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["{cni}"]
    conf_dir = "{folder}/net.d"
  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = "runc"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
        BinaryName = "{bin}/runc"
        SystemdCgroup = false
"""


def find_archive() -> Path | None:
    """``node-*.tar.zst`` in LLMSERVE_TESTBED or ``../shared/testbed``, or None."""
    testbed = Path(os.environ.get("LLMSERVE_TESTBED", HERE.parents[3] / "shared" / "testbed"))
    return next(iter(sorted(testbed.glob("node-*.tar.zst"))), None) if testbed.is_dir() else None


def what_is_missing() -> str:
    """Why no node can be started here; empty where one can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a real node needs root on Linux"
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    if lacking:
        return f"a real node needs the programs {', '.join(lacking)}"
    if find_archive() is None:
        return "there is no node-*.tar.zst (kubelet, containerd, runc, CNI plugins) in LLMSERVE_TESTBED or ../shared/testbed"
    tried = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "mount", "-t", "tmpfs", "tmpfs", "/run"],
        capture_output=True,
        check=False,
    )
    return "" if tried.returncode == 0 else f"no namespaces can be made here ({tried.stderr.decode().strip()})"


def binaries() -> Path:
    """The unpacked archive: ``bin/``, ``cni/`` and ``images/``."""
    archive = find_archive()
    assert archive is not None, what_is_missing()
    found = unpacked(archive, "kubelet")
    assert found is not None
    return found.parent


class Node:
    """One node. ``registries`` leads a registry's host to a server on loopback."""

    def __init__(
        self,
        folder: Path,
        kubeconfig: Mapping[str, Any],
        *,
        images: Sequence[Path] = (),
        registries: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self._kubeconfig = kubeconfig
        self._root = binaries()
        self._images = [self._root / "images" / "pause.tar", *images]
        self._registries = {"_default": CLOSED, **(registries or {})}
        self._init: subprocess.Popen[bytes] | None = None
        remove_remains()
        self._number = _make_bridge()
        self.name = f"real-{self._number}"
        self.address = f"10.87.{self._number}.1"
        """Of the bridge: the machine, as the pods see it, and where the kubelet listens."""

    def start(self) -> None:
        for name in ("containerd", "net.d", "certs.d", "kubelet", "log", "pki"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        _make_cgroups(self._number)
        self._write_configuration()
        configuration = {
            "folder": str(self.folder),
            "images": [str(image) for image in self._images],
            "ctr": [str(self._root / "bin/ctr"), "-a", str(self.folder / "containerd.sock"), "-n", "k8s.io"],
            "commands": {
                "containerd": [str(self._root / "bin/containerd"), "--config", str(self.folder / "containerd.toml")],
                "kubelet": [
                    *(str(self._root / "bin/kubelet"), "--kubeconfig", str(self.folder / "kubeconfig")),
                    *("--config", str(self.folder / "kubelet.json"), "--root-dir", str(self.folder / "kubelet")),
                    *("--cert-dir", str(self.folder / "pki"), "--hostname-override", self.name, "--node-ip", self.address),
                ],
            },
        }
        (self.folder / "init.json").write_text(json.dumps(configuration))
        with (self.folder / "init.log").open("ab") as out:
            self._init = subprocess.Popen(
                [
                    *(
                        "unshare",
                        "--mount",
                        "--pid",
                        "--fork",
                        "--kill-child=SIGKILL",
                        "--mount-proc",
                        "--propagation",
                        "private",
                    ),
                    *(sys.executable, str(HERE / "init.py"), str(self.folder / "init.json")),
                ],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                env={"PATH": f"{self._root / 'bin'}:{PATH}", "HOME": str(self.folder)},
            )

    def say(self, command: str) -> None:
        """``kill kubelet``, ``start kubelet``; the same for containerd."""
        assert self._init is not None
        assert self._init.stdin is not None
        self._init.stdin.write(f"{command}\n".encode())
        self._init.stdin.flush()

    def why(self) -> str:
        """The ends of its logs, for a start that failed."""
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"{log.name}: {log.read_text(errors='replace')[-1500:]}" for log in logs)

    def stop(self) -> None:
        """End everything on the node and remove what its namespaces do not take along."""
        if self._init is not None:
            assert self._init.stdin is not None
            self._init.stdin.close()
            try:
                self._init.wait(10)
            except subprocess.TimeoutExpired:
                self._init.kill()
                self._init.wait()
            self._init = None
        _remove(self._number)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write_configuration(self) -> None:
        folder = self.folder
        subnet = {"subnet": f"10.87.{self._number}.0/24", "gateway": self.address}
        plugin = {
            "type": "bridge",
            "bridge": _bridge(self._number),
            "isGateway": False,  # the bridge is made by hand, so that no ip_forward is set
            "ipMasq": False,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "dataDir": str(folder / "ipam"),
                "ranges": [[subnet]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        _write(folder / "net.d/10-llms.conflist", {"cniVersion": "1.0.0", "name": "llms", "plugins": [plugin]})
        for host, server in self._registries.items():
            (folder / "certs.d" / host).mkdir(exist_ok=True)
            (folder / "certs.d" / host / "hosts.toml").write_text(f'server = "{server}"\n')
        places = {"folder": folder, "cni": self._root / "cni", "bin": self._root / "bin", "pause": PAUSE}
        (folder / "containerd.toml").write_text(CONTAINERD.format(**places))
        _write(folder / "kubeconfig", self._kubeconfig)
        _write(folder / "kubelet.json", self._kubelet())

    def _kubelet(self) -> dict[str, Any]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "failCgroupV1": False,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{_cgroup(self._number)}",
            "containerRuntimeEndpoint": f"unix://{self.folder}/containerd.sock",
            "address": self.address,
            "port": 10250,
            "readOnlyPort": 0,
            "healthzPort": 0,
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "makeIPTablesUtilChains": False,
            "failSwapOn": False,
            "volumePluginDir": f"{self.folder}/plugins",
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "500Mi", "imagefs.available": "500Mi"},
            "imageGCHighThresholdPercent": 100,
            "serializeImagePulls": False,
            "podLogsDir": "/var/log/pods",
            "nodeStatusUpdateFrequency": "5s",
        }


def remove_remains() -> None:
    """Of runs that were killed: a bridge says in its alias which process made it."""
    for link in Path("/sys/class/net").glob("llms*"):
        number, made_by = link.name.removeprefix("llms"), (link / "ifalias").read_text().strip()
        if number.isdecimal() and made_by.isdecimal() and not Path("/proc", made_by).exists():
            _remove(int(number))


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1))


def _bridge(number: int) -> str:
    return f"llms{number}"


def _cgroup(number: int) -> str:
    return f"llms-{number}"


def _ip(*arguments: str) -> bool:
    return subprocess.run(["ip", *arguments], capture_output=True, check=False).returncode == 0


def _make_bridge() -> int:
    """The number of a bridge that nobody had: two runs on one machine are two nodes."""
    for number in range(1, 250):
        if _ip("link", "add", _bridge(number), "alias", str(os.getpid()), "type", "bridge"):
            assert _ip("addr", "add", f"10.87.{number}.1/24", "dev", _bridge(number))
            assert _ip("link", "set", _bridge(number), "up")
            return number
    raise RuntimeError("no bridge can be made (ip link add … type bridge)")


def _hierarchies() -> list[Path]:
    """Version 2 alone, or each of version 1's, and the empty version 2 beside them, in which runc makes folders too."""
    if (CGROUPS / "cgroup.procs").exists():
        return [CGROUPS]
    return [h for h in sorted(CGROUPS.iterdir()) if (h / "cgroup.procs").exists()]


def _make_cgroups(number: int) -> None:
    for hierarchy in _hierarchies():
        own = hierarchy / _cgroup(number)
        own.mkdir(exist_ok=True)
        if hierarchy.name == "cpuset":  # version 1 makes it empty
            for file in ("cpuset.cpus", "cpuset.mems"):
                (own / file).write_text((hierarchy / file).read_text())


def _remove(number: int) -> None:
    """A cgroup goes once its last process has: for a moment after the namespace has ended."""
    _ip("link", "del", _bridge(number))
    deadline = time.monotonic() + 10
    while True:
        left = [Path(p) for h in _hierarchies() for p, _, _ in os.walk(h / _cgroup(number), topdown=False)]
        for folder in left:
            with suppress(OSError):
                folder.rmdir()
        if not left or time.monotonic() > deadline:
            return
        time.sleep(0.05)
