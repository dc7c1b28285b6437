"""Static files of the pages: the hash of the content is in the address, so that browsers may cache it for good."""

import gzip
from collections.abc import Awaitable, Callable
from functools import cache
from hashlib import sha256
from mimetypes import guess_type
from pathlib import Path

from fastapi import FastAPI, Request, Response

FOLDER = Path(__file__).parent / "static"
PREFIX = "/static"
FOREVER = "public, max-age=31536000, immutable"
COMPRESSED = {".css", ".js", ".svg"}
HASH_DIGITS = 12


def install(app: FastAPI) -> None:
    """Add a route for every static file."""
    for name in names():
        app.add_route(f"{PREFIX}/{name}", _file(name), include_in_schema=False)


@cache
def names() -> tuple[str, ...]:
    """Return the names of all files, licences excluded, as paths below the folder."""
    files = (file for file in FOLDER.rglob("*") if file.is_file() and file.suffix != ".txt")
    return tuple(sorted(file.relative_to(FOLDER).as_posix() for file in files))


def open_paths() -> frozenset[str]:
    """Return the paths of all files: they need no key, because they hold no data."""
    return frozenset(f"{PREFIX}/{name}" for name in names())


@cache
def address(name: str) -> str:
    """Return the path and query of a file, with the hash of its content."""
    return f"{PREFIX}/{name}?v={sha256((FOLDER / name).read_bytes()).hexdigest()[:HASH_DIGITS]}"


@cache
def content(name: str, compressed: bool) -> bytes:
    """Return the bytes of a file."""
    plain = (FOLDER / name).read_bytes()
    return gzip.compress(plain, mtime=0) if compressed else plain


def _file(name: str) -> Callable[[Request], Awaitable[Response]]:
    kind = "font/woff2" if name.endswith(".woff2") else guess_type(name)[0]

    async def send(request: Request) -> Response:
        compressed = Path(name).suffix in COMPRESSED and "gzip" in request.headers.get("accept-encoding", "")
        headers = {"Vary": "Accept-Encoding"} | ({"Content-Encoding": "gzip"} if compressed else {})
        if request.query_params.get("v"):
            headers["Cache-Control"] = FOREVER
        return Response(content(name, compressed), headers=headers, media_type=kind)

    return send
