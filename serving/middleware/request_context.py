"""What the audit log records of a request about users: its purpose, the users, the requested instants."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from starlette.types import Scope

from serving.middleware.api_keys import Key

NOTES = "clout.notes"
# A new route counts as one about users until it is listed here.
WITHOUT_USERS = frozenset({"/v1/model", "/v1/catalogue", "/v1/purposes"})
# The first segments of the pages that are about users, of which the start page has none.
PAGES_ABOUT_USERS = frozenset({"", "u", "find", "pick", "compare", "cases", "community"})
PAGES = PAGES_ABOUT_USERS | {"models", "sign-in", "sign-out"}
CALLER = "clout.caller"
SESSION = "clout.session"
PREFIX = "clout.prefix"
ANYBODY = Key(id="", name="anybody", scope="admin", sha256="", made="")


@dataclass
class RequestNotes:
    """What the audit log records of a request, filled in while it is answered.

    Parameters
    ----------
    purpose : as in its header
    refused : why the purpose was refused
    about : ids of the users that it is about, unless the path names them
    instants : of the query, by parameter
    service : the state that answered it

    """

    purpose: str | None = None
    refused: str | None = None
    about: list[str] | None = None
    instants: dict[str, datetime] = field(default_factory=dict)
    service: Any = None


def path_prefix(scope: Scope) -> str:
    """Return the prefix under which a proxy serves, such as `/clout`; empty without one.

    It is not in `root_path`, which Starlette would remove from the path a second time.
    """
    return str(scope.get(PREFIX, ""))


def about_people(path: str) -> bool:
    """Return whether a path is about users: one of the pages, or of the API and not in `WITHOUT_USERS`."""
    first = _first_segment(path)
    return path not in WITHOUT_USERS if first == "v1" else first in PAGES_ABOUT_USERS


def is_page(path: str) -> bool:
    """Return whether a path is that of a page."""
    return _first_segment(path) in PAGES


def _first_segment(path: str) -> str:
    return [*path.split("/", 2), ""][1]


def request_notes(scope: Scope) -> RequestNotes | None:
    """Return the notes of a request; None if it is not about users."""
    return scope.get(NOTES)


def record_users(scope: Scope, users: Iterable[str]) -> None:
    """Record the users that a response is about, where the path does not name them."""
    notes = request_notes(scope)
    if notes is not None:
        notes.about = [*(notes.about or ()), *users]
