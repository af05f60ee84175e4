"""Container images made of this machine's own files, without a registry: busybox, this Python, and the model server's double."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SERVER = "llms.test/server:1"
AS_ROOT = "llms.test/rootserver:1"
"""The same, whose user is root: what a policy against root refuses."""
FOLDERS = ("tmp", "bin", "etc", "dev", "proc", "sys", "root", "home/user", "usr/bin", "lib", "lib64", "var", "app", "adapters")
APPLETS = ["sh", "sleep", "cat", "ls", "echo", "true", "false", "env", "id", "mkdir", "rm", "cp", "dd", "touch", "kill", "test"]
LEFT_OUT = (
    "test", "site-packages", "__pycache__", "idlelib", "tkinter", "ensurepip", "lib2to3", "turtledemo", "distutils", "pydoc_data",
)  # fmt: skip
USERS = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n"

Layer = bytes


def build(folder: Path, busybox: Path) -> list[Path]:
    """Docker archives, for ``ctr images import``."""
    layers = [_layer(lambda t: _base(t, busybox)), _layer(_python), _layer(_app)]
    config = {
        "Entrypoint": ["/usr/bin/python3", "/app/server.py"],
        "Env": ["PATH=/usr/bin:/bin", "PYTHONUNBUFFERED=1", "PYTHONPATH=/app", "HOME=/home/user"],
        "WorkingDir": "/app",
    }
    made = {SERVER: {**config, "User": "1000"}, AS_ROOT: config}
    return [_archive(name, layers, c, folder / f"{name.split('/')[1].partition(':')[0]}.tar") for name, c in made.items()]


def _add(
    tar: tarfile.TarFile, name: str, data: bytes = b"", *, mode: int = 0o755, kind: bytes = tarfile.REGTYPE, link: str = ""
) -> None:
    info = tarfile.TarInfo(name.lstrip("/"))
    info.mode, info.type, info.linkname, info.size = mode, kind, link, len(data)
    tar.addfile(info, io.BytesIO(data))


def _layer(fill: Callable[[tarfile.TarFile], None]) -> Layer:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        fill(tar)
    return out.getvalue()


def _base(tar: tarfile.TarFile, busybox: Path) -> None:
    for folder in FOLDERS:
        _add(tar, folder, mode=0o1777 if folder in ("tmp", "adapters") else 0o755, kind=tarfile.DIRTYPE)
    _add(tar, "etc/passwd", USERS.encode(), mode=0o644)
    _add(tar, "bin/busybox", busybox.read_bytes())
    for name in APPLETS:
        _add(tar, f"bin/{name}", kind=tarfile.SYMTYPE, link="/bin/busybox")


def _python(tar: tarfile.TarFile) -> None:
    home = Path(sys.base_prefix)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    program = (home / "bin" / version).resolve()
    library = home / "lib" / version
    for path in sorted(_libraries([program, *(library / "lib-dynload").glob("*.so")])):
        _add(tar, path, Path(path).resolve().read_bytes())
    _add(tar, str(program), program.read_bytes())
    _add(tar, "usr/bin/python3", kind=tarfile.SYMTYPE, link=str(program))
    for root, folders, files in os.walk(library):
        folders[:] = [f for f in folders if f not in LEFT_OUT and not f.startswith("config-")]
        for file in files:
            module = Path(root, file)
            if module.is_file():
                _add(tar, str(module), module.read_bytes(), mode=0o755 if file.endswith(".so") else 0o644)


def _libraries(programs: Iterable[Path]) -> set[str]:
    found = set()
    for program in programs:
        listed = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
        found |= {word for line in listed.splitlines() for word in line.split() if word.startswith("/")}
    return found


def _app(tar: tarfile.TarFile) -> None:
    _add(tar, "app/server.py", (HERE / "server.py").read_bytes(), mode=0o644)


def _archive(name: str, layers: list[Layer], config: dict[str, Any], out: Path) -> Path:
    digests = [hashlib.sha256(layer).hexdigest() for layer in layers]
    image = {
        "architecture": "amd64" if os.uname().machine == "x86_64" else "arm64",
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{d}" for d in digests]},
        "history": [{"created_by": "tests"}] * len(layers),
    }
    described = json.dumps(image).encode()
    manifest = [
        {"Config": f"{hashlib.sha256(described).hexdigest()}.json", "RepoTags": [name], "Layers": [f"{d}.tar" for d in digests]}
    ]
    with tarfile.open(out, "w") as tar:
        _add(tar, manifest[0]["Config"], described, mode=0o644)  # type: ignore[arg-type]
        for digest, layer in zip(digests, layers, strict=True):
            _add(tar, f"{digest}.tar", layer, mode=0o644)
        _add(tar, "manifest.json", json.dumps(manifest).encode(), mode=0o644)
    return out
