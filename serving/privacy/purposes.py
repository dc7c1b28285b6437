"""Purposes: what a request about users is for, as its header says. Only those on the operator's list are accepted."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any
from unicodedata import category

from starlette.types import Scope

from features.errors import CloutError
from serving.middleware.request_context import request_notes
from training.prohibited_uses import PROHIBITED_USES

HEADER = "Clout-Purpose"
MAX_LENGTH = 200
VARIABLE = "CLOUT_PURPOSES"
EXAMPLE = "community moderation"
DEFAULT_PURPOSES = (
    EXAMPLE,
    "community research",
    "contributor recognition",
    "speaker selection",
    "own score",
    "contesting a score",
    "model review",
)
NOT_ALLOWED = "not allowed"
HELP = f"Send one of the purposes that GET /v1/purposes lists, such as '{HEADER}: {EXAMPLE}'."
DESCRIPTION = (
    f"What the answer is for: one of the purposes that `/v1/purposes` lists as allowed, at most {MAX_LENGTH} "
    "characters, which the audit log stores. Required if the service demands a purpose."
)


class PurposeError(CloutError):
    """A request has no purpose where one is demanded, or an invalid one."""


class PurposeNotAllowedError(CloutError):
    """A request has a purpose that is not on the list of allowed purposes."""


@dataclass(frozen=True)
class PurposePolicy:
    """The purposes that a service accepts.

    Parameters
    ----------
    demanded : whether requests about users must name a purpose
    allowed : the only purposes accepted; case and repeated blanks do not matter

    """

    demanded: bool = False
    allowed: tuple[str, ...] = DEFAULT_PURPOSES

    def allows(self, purpose: str) -> bool:
        """Return whether a purpose is on the list."""
        return _normalized(purpose) in self._normalized

    @cached_property
    def _normalized(self) -> frozenset[str]:
        return frozenset(map(_normalized, self.allowed))


USUAL_PURPOSES = PurposePolicy()


def purpose_policy(demanded: bool = False, allowed: Iterable[str] | None = None) -> PurposePolicy:
    """Make the policy of a service.

    Parameters
    ----------
    demanded : whether requests about users must name a purpose
    allowed : the list; if empty, that of the environment variable CLOUT_PURPOSES, separated by commas, or the default

    Raises
    ------
    PurposeError : a purpose is invalid, or a prohibited use

    """
    listed = list(allowed or os.environ.get(VARIABLE, "").split(","))
    purposes = tuple(dict.fromkeys(filter(None, (parse_purpose(purpose.encode()) for purpose in listed))))
    prohibited = {use.name for use in PROHIBITED_USES} & set(map(_normalized, purposes))
    if prohibited:
        raise PurposeError(f"{min(prohibited)!r} cannot be an allowed purpose: scores are prohibited for it.")
    return PurposePolicy(demanded, purposes or DEFAULT_PURPOSES)


def check_purpose(scope: Scope) -> None:
    """Record the purpose of a request about users for the audit log, and refuse one that is not allowed.

    Raises
    ------
    PurposeError : there is none where one is demanded, or it is invalid
    PurposeNotAllowedError : it is not on the list

    """
    notes = request_notes(scope)
    if notes is None:  # not about users
        return
    policy: PurposePolicy = scope["app"].state.purposes
    values = [value for name, value in scope["headers"] if name == b"clout-purpose"]
    if len(values) > 1:
        raise PurposeError(f"{len(values)} purposes came with the request, expected one. {HELP}")
    notes.purpose = parse_purpose(values[0]) if values else None
    if notes.purpose is None:
        if policy.demanded:
            raise PurposeError(f"no purpose came with the request, and this service demands one. {HELP}")
    elif not policy.allows(notes.purpose):
        notes.refused = NOT_ALLOWED
        raise PurposeNotAllowedError(
            f"the purpose is not allowed, expected one of: {', '.join(policy.allowed)}. The refusal is in the audit "
            "log; GET /v1/purposes also lists the prohibited uses, with reasons."
        )


@lru_cache(maxsize=1024)
def parse_purpose(value: bytes) -> str | None:
    """Decode the value of a header; None if it is empty.

    Raises
    ------
    PurposeError : it is not UTF-8, too long, or has control characters or no letter

    """
    try:
        text = value.decode().strip()
    except UnicodeDecodeError as error:
        raise PurposeError(f"the purpose is not UTF-8. {HELP}") from error
    if not text:
        return None
    if len(text) > MAX_LENGTH:
        raise PurposeError(f"the purpose has {len(text):,} characters, expected {MAX_LENGTH} at most. {HELP}")
    if any(category(letter)[0] == "C" or category(letter) in ("Zl", "Zp") for letter in text):
        raise PurposeError(f"the purpose contains control characters, expected one line of text. {HELP}")
    if not any(letter.isalpha() for letter in text):
        raise PurposeError(f"the purpose contains no letter, expected a few words. {HELP}")
    return text


def document(operation: dict[str, Any]) -> None:
    """Add the header to an operation of an OpenAPI document."""
    schema = {"type": "string", "maxLength": MAX_LENGTH, "examples": [EXAMPLE]}
    header = {"name": HEADER, "in": "header", "required": False, "description": DESCRIPTION, "schema": schema}
    operation.setdefault("parameters", []).append(header)


def _normalized(purpose: str) -> str:
    return " ".join(purpose.casefold().split())
