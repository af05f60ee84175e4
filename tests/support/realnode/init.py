"""The first process of a test node: ``python init.py CONFIG.json``, in a mount and a PID namespace of its own.

It lays the node's own folders over the machine's, starts containerd and the kubelet, reaps whatever is left to it, and ends when
its standard input closes: when the test run ends, however it does. The kernel then ends every process in the namespace and drops
every mount in it. Standard library alone.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "stop": signal.SIGSTOP, "cont": signal.SIGCONT}
SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What the kubelet would set for the whole machine: it finds them so, in files that lie over the machine's own."""


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def lay_over(folder: Path) -> None:
    """What the node writes at fixed places goes into its folder, or into memory that ends with it."""
    mount("--make-rshared", "/")
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    mount("--bind", str(folder / "log"), "/var/log")
    over = folder / "over"
    over.mkdir(exist_ok=True)
    mount("-t", "tmpfs", "tmpfs", str(over))
    (over / "upper").mkdir()
    (over / "work").mkdir()
    mount("-t", "overlay", "overlay", "-o", f"lowerdir=/var/lib,upperdir={over}/upper,workdir={over}/work", "/var/lib")
    for name in ("cni", "kubelet"):  # libcni and the kubelet use these whatever one configures
        own = folder / f"lib-{name}"
        own.mkdir(exist_ok=True)
        Path("/var/lib", name).mkdir(exist_ok=True)
        mount("--bind", str(own), f"/var/lib/{name}")
    for key, value in SYSCTLS.items():
        file = folder / key.replace("/", ".")
        file.write_text(f"{value}\n")
        mount("--bind", str(file), f"/proc/sys/{key}")


class Init:
    """The node's two programs."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.folder = Path(config["folder"])
        self.commands: dict[str, list[str]] = config["commands"]
        self.images: list[str] = config["images"]
        self.ctr: list[str] = config["ctr"]
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def go(self, name: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as out:
            self.running[name] = subprocess.Popen(self.commands[name], stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def start(self) -> None:
        """The images are there before the kubelet is: no pod of a test waits for one."""
        self.go("containerd")
        while subprocess.run([*self.ctr, "version"], capture_output=True, check=False).returncode:
            time.sleep(0.05)
        for image in self.images:
            subprocess.run([*self.ctr, "images", "import", "--local", image], check=True)
        self.go("kubelet")

    def obey(self, line: str) -> None:
        """``start kubelet``, ``kill kubelet``, ``stop`` and ``cont``: the same for containerd."""
        verb, name = line.split()
        if verb == "start":
            self.go(name)
        elif name in self.running:
            os.kill(self.running[name].pid, SIGNALS[verb])

    def reap(self) -> None:
        """Shims fork away and are left to the first process."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            for name, process in list(self.running.items()):
                if process.pid == pid:
                    print(f"{name} ended with {status}", flush=True)
                    del self.running[name]

    def serve(self) -> None:
        """Until standard input closes."""
        waiting = selectors.DefaultSelector()
        waiting.register(0, selectors.EVENT_READ)
        rest = b""
        while True:
            for _ in waiting.select(0.2):
                data = os.read(0, 4096)
                if not data:
                    return
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self.obey(line.decode())
            self.reap()


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text())
    lay_over(Path(given["folder"]))
    init = Init(given)
    init.start()
    init.serve()
