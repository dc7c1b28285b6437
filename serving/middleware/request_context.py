"""Notes of a request about people: what it is for, whom it is about, which instants it asks for."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from starlette.types import Scope

from serving.middleware.api_keys import Key

NOTES = "clout.notes"
OF_NOBODY = frozenset({"/v1/model", "/v1/catalogue", "/v1/purposes"})


@dataclass
class RequestNotes:
    """What the audit log is told of a request, filled in while it is answered.

    Parameters
    ----------
    purpose : as its header says
    refused : why the purpose was refused
    about : ids of whom it is about, where they are not in its path
    instants : of the query, by parameter
    service : that it was answered from

    """

    purpose: str | None = None
    refused: str | None = None
    about: list[str] | None = None
    instants: dict[str, datetime] = field(default_factory=dict)
    service: Any = None


def about_people(path: str) -> bool:
    """Say whether what is at a path is about people: all of the API but what is named here.

    A route that is added is about people until it is put among those that are not.
    """
    return path.startswith("/v1/") and path not in OF_NOBODY


def request_notes(scope: Scope) -> RequestNotes | None:
    """Return the notes of a request; None where it is not about people."""
    return scope.get(NOTES)


def record_users(scope: Scope, users: Iterable[str]) -> None:
    """Note whom an answer is about, where the path does not say it."""
    notes = request_notes(scope)
    if notes is not None:
        notes.about = [*(notes.about or ()), *users]


CALLER = "clout.caller"


ANYBODY = Key(id="", name="anybody", scope="admin", sha256="", made="")
