"""A real etcd, kube-apiserver, kube-controller-manager and kube-scheduler on loopback, with kwok as kubelet.

The binaries are looked for in ``KUBEBUILDER_ASSETS`` (envtest's convention), in a cache folder that ``../shared/testbed`` or
``LLMSERVE_TESTBED`` is unpacked into once or that ``make testbed`` gathered and built them in, and on ``PATH``.
"""

from __future__ import annotations

import base64
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import requests
import yaml
from support.egress import Egress
from support.kube import Kube

BINARIES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
HERE = Path(__file__).parent
ADMIN_TOKEN = "admin-token"
MISSING = (
    f"no control plane here ({', '.join(BINARIES)} in one folder); run `make testbed`, or name the folder in KUBEBUILDER_ASSETS, "
    "or that of control-plane-*.tar.zst in LLMSERVE_TESTBED"
)


def find_binaries() -> Path | None:
    """The folder that holds all binaries, or None."""
    named = os.environ.get("KUBEBUILDER_ASSETS")
    if named and _complete(Path(named)):  # envtest's own folder lacks three of them
        return Path(named)
    testbed = Path(os.environ.get("LLMSERVE_TESTBED", HERE.parents[2] / "shared" / "testbed"))
    for archive in sorted(testbed.glob("control-plane-*.tar.zst")) if testbed.is_dir() else ():
        return unpacked(archive, BINARIES[0])
    built = _complete(_cache() / "testbed-built")
    if built:
        return built
    on_path = shutil.which(BINARIES[0])
    return _complete(Path(on_path).parent) if on_path else None


def _complete(folder: Path) -> Path | None:
    return folder if all((folder / b).exists() for b in BINARIES) else None


def _cache() -> Path:
    """Where the archive is unpacked to, and ``scripts/testbed.sh`` writes to."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "llmserve-tests"


def unpacked(archive: Path, program: str) -> Path | None:
    """The folder that holds ``program`` in the archive, which is unpacked into the cache once."""
    stat = archive.stat()
    cache = _cache()
    folder = cache / f"{archive.name.removesuffix('.tar.zst')}-{stat.st_size}-{int(stat.st_mtime)}"
    if (found := _holding(folder, program)) is not None:
        return found
    cache.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=cache))
    # tar calls the zstd program, which a bare machine may lack: say so rather than skip in silence.
    subprocess.run(["tar", "--zstd", "-xf", str(archive), "-C", str(fresh)], check=True)
    try:
        fresh.rename(folder)
    except OSError:  # another test run was faster
        shutil.rmtree(fresh, ignore_errors=True)
    return _holding(folder, program)


def _holding(folder: Path, program: str) -> Path | None:
    return next((p.parent for p in folder.rglob(program)), None)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class ControlPlane:
    """Starts on :meth:`start`; :meth:`stop` ends every process it started."""

    def __init__(self, binaries: Path, folder: Path, *, kwok: bool = True) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        """First on kwok's PATH: a test puts a double of a program here that pods ``exec``."""
        self.pod_log = folder / "pod.log"
        """What the log of every pod says, in CRI format."""
        self.manager_log = folder / "manager.log"
        """The same for pods named ``kubeai``."""
        self.egress = Egress(folder / "egress.sock")
        self.admin: Kube
        self._binaries = binaries
        self._kwok = kwok
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._arguments: dict[str, list[str]] = {}
        self._cleanup = ExitStack()

    @property
    def server(self) -> str:
        return self.admin.server

    def start(self) -> None:
        self.bin.mkdir()
        self.pod_log.write_text("")
        self.manager_log.write_text("")
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        d, client_port, peer_port = self.folder, free_port(), free_port()
        api_port, kwok_port = free_port(), free_port()
        server, etcd, peer = f"https://127.0.0.1:{api_port}", f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
        _keys(d)
        (d / "tokens.csv").write_text(f"{ADMIN_TOKEN},admin,admin,system:masters\n")
        (d / "egress.yaml").write_text(yaml.safe_dump(_egress(self.egress.socket)))
        logs = {"/tmp/testbed-pod.log": self.pod_log, "/tmp/testbed-manager.log": self.manager_log}
        (d / "kwok.yaml").write_text(_replaced((HERE / "kwok.yaml").read_text(), logs))
        self.egress.start()
        self._cleanup.callback(self.egress.stop)
        self.run(
            "etcd",
            *("--data-dir", str(d / "etcd"), "--unsafe-no-fsync", "--log-level", "error"),
            *("--listen-client-urls", etcd, "--advertise-client-urls", etcd),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"),
        )
        self.run(
            "kube-apiserver",
            *("--etcd-servers", etcd, "--secure-port", str(api_port), "--bind-address", "127.0.0.1"),
            *("--advertise-address", "127.0.0.1", "--endpoint-reconciler-type", "none", "--cert-dir", str(d)),
            *("--service-account-key-file", str(d / "sa.pub"), "--service-account-signing-key-file", str(d / "sa.key")),
            *("--service-account-issuer", "https://kubernetes.default.svc", "--token-auth-file", str(d / "tokens.csv")),
            *("--authorization-mode", "RBAC", "--service-cluster-ip-range", "10.0.0.0/16", "--allow-privileged=true"),
            *("--kubelet-preferred-address-types", "InternalIP", "--egress-selector-config-file", str(d / "egress.yaml")),
        )
        self.admin = Kube(server, ADMIN_TOKEN, str(d / "apiserver.crt"))
        self.wait_ready()
        (d / "admin.kubeconfig").write_text(yaml.safe_dump(self.kubeconfig(ADMIN_TOKEN)))
        login = ("--kubeconfig", str(d / "admin.kubeconfig"))
        quick = ("--kube-api-qps", "200", "--kube-api-burst", "400", "--secure-port", "0", "--leader-elect=false")
        keys = ("--service-account-private-key-file", str(d / "sa.key"), "--root-ca-file", str(d / "apiserver.crt"))
        self.run("kube-controller-manager", *login, *quick, *keys)
        self.run("kube-scheduler", *login, *quick)
        if not self._kwok:
            return
        self.run(
            "kwok",
            *login,
            *("--manage-all-nodes=false", "--manage-nodes-with-annotation-selector", "kwok.x-k8s.io/node=fake"),
            *("--server-address", f"127.0.0.1:{kwok_port}", "--node-port", str(kwok_port), "--node-ip", "127.0.0.1"),
            *("--node-lease-duration-seconds", "40", "--cidr", "10.8.0.1/16", "--config", str(d / "kwok.yaml")),
        )

    def kubeconfig(self, token: str, namespace: str = "default") -> dict[str, Any]:
        """A kubeconfig of that token, with everything inside it."""
        ca = base64.b64encode((self.folder / "apiserver.crt").read_bytes()).decode()
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": self.server, "certificate-authority-data": ca}}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
            "current-context": "test",
        }

    def run(self, name: str, *arguments: str) -> None:
        """Start one of the binaries; its output goes to ``<name>.log`` in the folder."""
        self._arguments[name] = list(arguments)
        environment = {**os.environ, "PATH": f"{self.bin}{os.pathsep}{os.environ.get('PATH', '')}"}
        with (self.folder / f"{name}.log").open("ab") as out:
            self._processes[name] = subprocess.Popen(
                [str(self._binaries / name), *arguments],
                stdout=out,
                stderr=out,
                cwd=self.folder,
                env=environment,
                preexec_fn=_die_with_parent,
            )

    def kill(self, name: str) -> None:
        """End one process, at once."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def again(self, name: str) -> None:
        """Start a killed process as it was; for the API server, wait until it is ready.
        In the main thread: see _die_with_parent."""
        self.run(name, *self._arguments[name])
        if name == "kube-apiserver":
            self.wait_ready()

    def pause(self, name: str) -> None:
        """Stop a process where it is, until :meth:`resume`.
        (A new kwok would have to wait 40 s for the old one's node leases.)"""
        self._processes[name].send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        self._processes[name].send_signal(signal.SIGCONT)

    def wait_ready(self, seconds: float = 60) -> None:
        """Until the API server says it is ready. Fails with the end of its log."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if (self.folder / "apiserver.crt").exists() and self.admin.request("GET", "/readyz").status_code == 200:
                    return
            except requests.RequestException:
                pass
            dead = [n for n, p in self._processes.items() if p.poll() is not None]
            if dead or time.monotonic() > deadline:
                name = dead[0] if dead else "kube-apiserver"
                tail = (self.folder / f"{name}.log").read_text(errors="replace")[-3000:]
                raise RuntimeError(f"{name} did not come up:\n{tail}")
            time.sleep(0.05)

    def stop(self) -> None:
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()
        self._processes.clear()
        self._cleanup.close()


def _replaced(text: str, paths: dict[str, Path]) -> str:
    for placeholder, path in paths.items():
        text = text.replace(placeholder, str(path))
    return text


def _die_with_parent() -> None:
    """A test run that is killed leaves nothing behind (Linux: PR_SET_PDEATHSIG, which goes by the starting thread)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _keys(folder: Path) -> None:
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.TraditionalOpenSSL, s.NoEncryption())
    (folder / "sa.key").write_bytes(private)
    (folder / "sa.pub").write_bytes(key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo))


def _egress(socket_path: Path) -> dict[str, Any]:
    connection = {"proxyProtocol": "HTTPConnect", "transport": {"uds": {"udsName": str(socket_path)}}}
    return {
        "apiVersion": "apiserver.k8s.io/v1beta1",
        "kind": "EgressSelectorConfiguration",
        "egressSelections": [{"name": "cluster", "connection": connection}],
    }
