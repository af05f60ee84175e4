"""A small synchronous client for tests: the tester's own hands on the API server, apart from the code under test."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import requests

T = TypeVar("T")


class Kube:
    """Raw requests by path (``/api/v1/namespaces/x/pods``); any status but 2xx raises, and 404 of :meth:`get` is None."""

    def __init__(self, server: str, token: str, ca: str) -> None:
        self.server = server
        self._session = requests.Session()
        self._session.trust_env = False  # REQUESTS_CA_BUNDLE would win over verify
        self._session.headers["Authorization"] = f"Bearer {token}"
        self._session.verify = ca

    def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> requests.Response:
        return self._session.request(method, self.server + path, json=body, headers={"Content-Type": content_type}, timeout=30)

    def get(self, path: str) -> dict[str, Any] | None:
        response = self.request("GET", path)
        return None if response.status_code == 404 else _ok(response)

    def items(self, path: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = _ok(self.request("GET", path))["items"]
        return items

    def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return _ok(self.request("POST", path, body))

    def merge(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """JSON merge patch. For a status, name the subresource in the path (``…/status``)."""
        return _ok(self.request("PATCH", path, body, "application/merge-patch+json"))

    def delete(self, path: str, **options: Any) -> dict[str, Any]:
        return _ok(self.request("DELETE", path, {"apiVersion": "v1", "kind": "DeleteOptions", **options}))


def until(what: str, condition: Callable[[], T], seconds: float = 30) -> T:
    """The first true value of ``condition``. Fails the test, naming ``what``, after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not so after {seconds:.0f} s: {what}")
        time.sleep(0.05)


def _ok(response: requests.Response) -> dict[str, Any]:
    if not response.ok:
        raise AssertionError(f"{response.request.method} {response.request.url}: {response.status_code} {response.text[:2000]}")
    body: dict[str, Any] = response.json()
    return body
