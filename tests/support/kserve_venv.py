"""A virtual environment with KServe's own server, apart from ours: it holds pandas, numpy and psutil below what Airflow wants."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

KSERVE = "kserve==0.21.0"


def kserve_python() -> Path:
    """The environment's interpreter; made on first use (about 300 MB, half a minute) and kept."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llmserve-tests"
    home = cache / f"{KSERVE.replace('==', '-')}-py{sys.version_info.major}{sys.version_info.minor}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "kserve.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another test process may be making it
        if not (home / "complete").exists():
            _make(home)
    return home / "bin" / "python"


def _make(home: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    done = subprocess.run([*pip, "--only-binary", ":all:", KSERVE], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"pip cannot install {KSERVE}, the real server of the Open Inference Protocol: {done.stderr.strip()[-300:]}")
    (home / "complete").touch()


@contextmanager
def kserve_server() -> Iterator[str]:
    """KServe's server with the tiny models of ``kserve_server.py``;
    yields its base URL once every model says that it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = Path(__file__).with_name("kserve_server.py")
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen([str(kserve_python()), str(script), str(port)], stdout=log, stderr=subprocess.STDOUT)
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 120
            while not _answers(f"{url}/v2/models/text/ready"):
                if server.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise RuntimeError(f"KServe's server did not come up:\n{log.read().decode()[-3000:]}")
                time.sleep(0.1)
            yield url
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return int(response.status) == 200
    except OSError:
        return False
