"""What ends a server with its supervisor, however that ends and whatever the server is doing."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1
"""``linux/prctl.h``."""


def tie() -> None:
    """End this process when its standard input closes: the kernel closes it when the supervisor ends. To be called first of all.

    On Linux the kernel kills it besides: a library that holds the interpreter's lock while it loads a model would keep the thread
    from seeing the end, and an answer into the closed pipe would keep the process alive.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    threading.Thread(target=_end_with_input, daemon=True).start()


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os._exit(0)
