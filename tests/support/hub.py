"""As much of the Hugging Face hub as a download of one repository asks for, on loopback."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from aiohttp import web
from support.http_stub import serving

COMMIT = "0" * 40


@contextmanager
def hub(repository: str, files: Mapping[str, bytes]) -> Iterator[tuple[str, list[str]]]:
    """A hub that has ``repository`` alone; its base URL, and the paths that were asked for."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        resolve = f"/{repository}/resolve/{COMMIT}/"
        if request.path.startswith(f"/api/models/{repository}/revision/"):
            siblings = [{"rfilename": name} for name in files]
            return web.json_response({"id": repository, "sha": COMMIT, "siblings": siblings})
        if request.path.startswith(f"/api/models/{repository}/tree/"):
            return web.json_response([{"type": "file", "path": name, "size": len(files[name]), "oid": COMMIT} for name in files])
        body = files.get(request.path.removeprefix(resolve))
        if body is None:
            return web.json_response(
                {}, status=404, headers={"X-Error-Code": "RepoNotFound", "X-Error-Message": "no such repository"}
            )
        return web.Response(body=body, headers={"ETag": f'"{hashlib.sha1(body).hexdigest()}"', "X-Repo-Commit": COMMIT})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    with serving(app) as url:
        yield url, asked
