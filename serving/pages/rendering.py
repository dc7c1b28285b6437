"""Rendering: Jinja2 templates, what every page knows about its reader, and the headers of a page."""

import csv
import json
from collections.abc import Iterable, Sequence
from functools import cache
from io import StringIO
from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from features.catalogue.wording import count_of
from features.ids import spreadsheet_id
from serving.api.fast_routes import TimeoutRoute
from serving.middleware.api_keys import Key
from serving.middleware.api_keys import Scope as KeyScope
from serving.middleware.page_sessions import PageSession
from serving.middleware.request_context import CALLER, SESSION, path_prefix
from serving.pages import formats, static_files

# Everything comes from the service itself; no script and no style stands within a page.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# htmx would otherwise add a style element and evaluate attributes, which the policy forbids. A page that refuses what a
# reader typed (422) says why in its own place; `clout.js` shows other errors.
HTMX = json.dumps(
    {
        "includeIndicatorStyles": False,
        "allowEval": False,
        "selfRequestsOnly": True,
        "historyCacheSize": 0,
        "responseHandling": [
            {"code": "2..|422", "swap": True},
            {"code": "...", "swap": False, "error": True},
        ],
    }
)

FILTERS = (
    count_of,
    formats.at_least,
    formats.by,
    formats.caller,
    formats.date,
    formats.feature_name,
    formats.feature_value,
    formats.number,
    formats.people,
    formats.percent,
    formats.plain,
    formats.rank,
    formats.sentence,
    formats.share_below,
    formats.signed,
    formats.when,
)


class PageRoute(TimeoutRoute):
    """A route of a page: it ignores unknown query parameters, which other sites add to links."""

    strict = False


class Reader:
    """Who reads a page, and what the scope of their key lets them see."""

    def __init__(self, request: Request):
        self.key: Key | None = request.scope.get(CALLER)
        self.session: PageSession | None = request.scope.get(SESSION)

    @property
    def name(self) -> str | None:
        """The name of the key; None where no keys are required, and before signing in."""
        return self.key.name if self.key and self.key.id else None

    def may(self, scope: KeyScope) -> bool:
        """Return whether there is a key with a scope."""
        return self.key is not None and self.key.allows(scope)


def page(request: Request, template: str, status: int = 200, **context: Any) -> Response:
    """Render a template as a response.

    Parameters
    ----------
    request : that it answers
    template : its file name, without `.html`
    status : of the response
    context : what the template shows

    """
    return Response(
        _environment().get_template(f"{template}.html").render(**_common(request), **context),
        status,
        {"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin"},
        "text/html; charset=utf-8",
    )


def csv_response(name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Response:
    """Return rows as a CSV file to download; ids, which are the first column, as `spreadsheet_id` returns them."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(header)
    for user, *others in rows:
        writer.writerow([spreadsheet_id(user), *others])
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response("\N{BYTE ORDER MARK}" + text.getvalue(), headers=headers, media_type="text/csv; charset=utf-8")


def _common(request: Request) -> dict[str, Any]:
    prefix, reader = path_prefix(request.scope), Reader(request)

    def link(path: str, **query: Any) -> str:
        """Return the address of a path of the service; parameters that are None are left out."""
        parameters = {name: value for name, value in query.items() if value is not None}
        return prefix + path + (("&" if "?" in path else "?") + urlencode(parameters, doseq=True) if parameters else "")

    return {
        "link": link,
        "static": lambda name: prefix + static_files.address(name),
        "user_link": lambda user, **query: prefix + formats.user_path(user, **query),
        "reader": reader,
        "form_token": reader.session.form_token if reader.session else None,
        "path": request.scope["path"],
        "as_of": request.query_params.get("as_of") or None,
        "htmx_config": Markup(HTMX),
    }


def compile_templates() -> None:
    """Compile every template, which otherwise happens at its first use."""
    for name in _environment().list_templates():
        _environment().get_template(name)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("serving.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {function.__name__: function for function in FILTERS}
    return environment
