"""Forms: their fields, and the check that a change was sent by a page of this service."""

import re
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from fastapi import Depends, HTTPException, Request

from serving.middleware.page_sessions import PageSession
from serving.middleware.request_context import SESSION

FORM_TOKEN = "form_token"
MOST_FIELDS = 100
FOREIGN = "this change was not sent by a page of this service. Open the page again and repeat it there."


def with_labels(message: str, labels: Mapping[str, str]) -> str:
    """Return a message with the labels of a form for the names of its fields; quoted values stay as they are."""
    names = "|".join(map(re.escape, labels))
    return re.sub(rf"'(?:[^'\\]|\\.)*'|\b({names})\b", lambda match: _label(match, labels), message)


def _label(match: re.Match[str], labels: Mapping[str, str]) -> str:
    return f"“{labels[match[1]]}”" if match[1] else match[0]


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a form that a page of this service sent; the last of each name.

    Raises
    ------
    HTTPException : 403 for a form of another site or another session, 422 for one that cannot be read

    """
    try:
        body = (await request.body()).decode()
        fields = dict(parse_qsl(body, keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError as error:
        raise HTTPException(422, "the form cannot be read; expected fields in UTF-8.") from error
    session: PageSession | None = request.scope.get(SESSION)
    if not _is_same_origin(request) or (session and not session.has_form_token(fields.get(FORM_TOKEN, ""))):
        raise HTTPException(403, FOREIGN)
    return fields


def _is_same_origin(request: Request) -> bool:
    """Return whether a browser says that a page of this service sent the request."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc == request.headers.get("host")


FormFields = Annotated[dict[str, str], Depends(_form)]
