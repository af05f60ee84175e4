"""The model server of a test node's pods: huggingfaceserver's paths, without a model. Standard library alone.

What becomes of it stands in its environment: READY_AFTER (seconds), HANGS (accepts and never answers), SAYS (its last words) with
EXITS (its code), EATS and WRITES (megabytes of memory and of disk, once it serves), DEAF_AFTER (seconds until it answers nobody
any more), BEHIND (the address of a server with a real model, which answers what OpenAI's paths ask).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

STARTED = time.monotonic()


def argument(name: str, default: str) -> str:
    for here, following in zip(sys.argv, [*sys.argv[1:], ""], strict=True):
        if here == name:
            return following
        if here.startswith(f"{name}="):
            return here.partition("=")[2]
    return default


def setting(name: str) -> float:
    return float(os.environ.get(name, 0))


MODEL = argument("--model_name", "model")
PORT = int(argument("--http_port", "8080"))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Not each probe."""

    def say(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        age = time.monotonic() - STARTED
        deaf = setting("DEAF_AFTER")
        if setting("HANGS") or (deaf and age > deaf):
            time.sleep(3600)
        if self.path == f"/v2/models/{MODEL}/ready":
            ready = age >= setting("READY_AFTER")
            self.say(200 if ready else 503, {"name": MODEL, "ready": ready})
        elif self.path == "/openai/v1/models":
            self.say(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})
        else:
            self.say(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == f"/v2/models/{MODEL}/infer":
            output = {"name": "output-0", "datatype": "INT64", "shape": [1], "data": [1]}
            self.say(200, {"model_name": MODEL, "id": os.environ.get("HOSTNAME", ""), "outputs": [output]})
        elif self.path.startswith("/openai/v1/") and os.environ.get("BEHIND"):
            self.say(200, forwarded(self.path.removeprefix("/openai"), body))
        elif self.path == "/openai/v1/completions":
            self.say(200, {"object": "text_completion", "model": MODEL, "choices": [{"index": 0, "text": "hello"}]})
        else:
            self.say(404, {"detail": "Not Found"})


def forwarded(path: str, body: bytes) -> Any:
    request = urllib.request.Request(os.environ["BEHIND"] + path, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def use_up() -> None:
    """Memory until the kernel ends it, or disk until the kubelet does."""
    held = []
    for _ in range(int(setting("EATS"))):
        held.append(bytearray(os.urandom(1024)) * 1024)
    if setting("WRITES"):
        with open("/tmp/weights", "wb") as file:
            for _ in range(int(setting("WRITES"))):
                file.write(b"x" * 2**20)
    threading.Event().wait()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if "SAYS" in os.environ or "EXITS" in os.environ:
        print(os.environ.get("SAYS", ""), file=sys.stderr, flush=True)
        os._exit(int(setting("EXITS")))
    threading.Thread(target=use_up, daemon=True).start()
    Server(("", PORT), Handler).serve_forever()


if __name__ == "__main__":
    main()
