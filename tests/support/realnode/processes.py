"""The processes of a pod on the test node, which the machine sees as its own."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any


def signalled(pod: dict[str, Any], sign: signal.Signals) -> int:
    """Send a signal to the pod's servers; how many there were. From outside it reaches a container's first process too."""
    uid, sent = pod["metadata"]["uid"], 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"pod{uid}" in (folder / "cgroup").read_text() and b"server.py" in (folder / "cmdline").read_bytes():
                os.kill(int(folder.name), sign)
                sent += 1
    return sent
