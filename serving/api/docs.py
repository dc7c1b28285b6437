"""The documentation page: Swagger UI over the service's own OpenAPI document; nothing is loaded from elsewhere.

Its addresses are relative, so it works under any prefix of a proxy. Page, scripts and document hold no data about users
and are open: a key is entered on the page, which sends it with the requests that are tried out there.
"""

from collections.abc import Awaitable, Callable
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse

from serving.middleware.headers import NOTHING
from serving.middleware.request_context import path_prefix

PATH, DOCUMENT_PATH = "/docs", "/openapi.json"
POLICY = f"{NOTHING}; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'"
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Clout</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
# Swagger UI would send the document's address to an online validator unless told otherwise.
SCRIPT = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
});
"""
SWAGGER_FILES = ("swagger-ui-bundle.js", "swagger-ui.css")
OPEN_PATHS = frozenset({PATH, DOCUMENT_PATH, f"{PATH}/start.js", *(f"{PATH}/{name}" for name in SWAGGER_FILES)})


def install(app: FastAPI) -> None:
    """Add the page and its files to an application."""
    app.add_route(DOCUMENT_PATH, _document, include_in_schema=False)
    app.add_route(PATH, _page, include_in_schema=False)
    app.add_route(f"{PATH}/start.js", _script, include_in_schema=False)
    for name in SWAGGER_FILES:
        app.add_route(f"{PATH}/{name}", _swagger_file(name), include_in_schema=False)


async def _document(request: Request) -> Response:
    document, prefix = request.app.openapi(), path_prefix(request.scope)
    return JSONResponse(document | {"servers": [{"url": prefix}]} if prefix else document)


async def _page(_: Request) -> Response:
    return HTMLResponse(PAGE)


async def _script(_: Request) -> Response:
    return Response(SCRIPT, media_type="text/javascript")


def _swagger_file(name: str) -> Callable[[Request], Awaitable[Response]]:
    async def send(_: Request) -> Response:
        return FileResponse(_swagger_folder() / name)

    return send


@cache
def _swagger_folder() -> Path:
    """Return the folder of Swagger UI's files in the package fastapi-offline."""
    return Path(str(distribution("fastapi-offline").locate_file("fastapi_offline/static")))
