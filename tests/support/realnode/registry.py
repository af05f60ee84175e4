"""A registry on loopback that refuses in every way that registries do, by the name of the repository."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOST = "registry.test"
REFUSALS: dict[str, tuple[int, str, str]] = {
    "ml/forbidden": (403, "DENIED", "requested access to the resource is denied"),
    "ml/limited": (429, "TOOMANYREQUESTS", "You have reached your pull rate limit."),
    "ml/broken": (503, "UNAVAILABLE", "service unavailable"),
}
"""Repository to status, code and message; any other is not known, and ``ml/denied`` and ``ml/basic`` want a login."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def refuse(self, status: int, code: str, message: str, **headers: str) -> None:
        body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path, host = self.path.partition("?")[0], self.headers.get("Host")
        repository = path.removeprefix("/v2/").partition("/manifests/")[0]
        if repository in REFUSALS:
            self.refuse(*REFUSALS[repository])
        elif repository == "ml/denied":
            token = f'Bearer realm="http://{host}/token",service="{HOST}",scope="repository:{repository}:pull"'
            self.refuse(401, "UNAUTHORIZED", "authentication required", WWW_Authenticate=token)
        elif repository == "ml/basic":
            self.refuse(401, "UNAUTHORIZED", "authentication required", WWW_Authenticate=f'Basic realm="{HOST}"')
        elif path == "/token":
            self.refuse(401, "UNAUTHORIZED", "authentication required")
        elif repository == "ml/hangs":
            time.sleep(3600)
        else:
            self.refuse(404, "NAME_UNKNOWN", "repository name not known to registry")


class Server(ThreadingHTTPServer):
    daemon_threads = True


@contextmanager
def registry() -> Iterator[str]:
    """Its address."""
    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
