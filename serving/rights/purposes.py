"""Purposes: what a read is for, as its header says, and the refusal of those that are prohibited or say nothing."""

from functools import lru_cache
from typing import Any
from unicodedata import category

from starlette.types import Scope

from features.errors import CloutError
from serving.rights.notes import noted
from serving.rights.prohibited import prohibited

HEADER = "Clout-Purpose"
LONGEST = 200
EXAMPLE = "community moderation"
HOW = f"Send what it is for in a few words, such as '{HEADER}: {EXAMPLE}'; GET /v1/purposes lists what is refused."
ABOUT = (
    f"What the answer is for, in a few words of at most {LONGEST} characters, which the audit log keeps; it is to name "
    "nobody. Demanded where the service was started so; those that `/v1/purposes` lists are refused."
)


class PurposeError(CloutError):
    """A read says no purpose where one is demanded, or one that is none."""


class ProhibitedPurposeError(CloutError):
    """A read is for something that scores are not for."""


def check_purpose(scope: Scope) -> None:
    """Take the purpose of a request down in its notes, and refuse a request that is not to be answered.

    A request that is not about people has no notes, and is left alone.

    Raises
    ------
    PurposeError : there is none where one is demanded, or what there is cannot be one
    ProhibitedPurposeError : says as what it was understood, and why that is refused

    """
    notes = noted(scope)
    if notes is None:
        return
    given = [value for name, value in scope["headers"] if name == b"clout-purpose"]
    if len(given) > 1:
        raise PurposeError(f"{len(given)} purposes came with the request, expected one. {HOW}")
    notes.purpose = read_purpose(given[0]) if given else None
    if notes.purpose is None:
        if notes.demanded:
            raise PurposeError(f"no purpose came with the request, and this service demands one. {HOW}")
        return
    found = prohibited(notes.purpose)
    if found is not None:
        notes.refused = found.name
        raise ProhibitedPurposeError(
            f"the purpose was understood as {found.name}, and scores are not to be read for that. {found.reason} "
            "The refusal is in the audit log; GET /v1/purposes lists what is refused."
        )


@lru_cache(maxsize=1024)
def read_purpose(given: bytes) -> str | None:
    """Read the value of a header; None where it is empty.

    Raises
    ------
    PurposeError : it is no UTF-8, too long, holds control characters or no letter

    """
    try:
        text = given.decode().strip()
    except UnicodeDecodeError as error:
        raise PurposeError(f"the purpose is no UTF-8. {HOW}") from error
    if not text:
        return None
    if len(text) > LONGEST:
        raise PurposeError(f"the purpose holds {len(text):,} characters, expected {LONGEST} at most. {HOW}")
    if any(category(letter)[0] == "C" or category(letter) in ("Zl", "Zp") for letter in text):
        raise PurposeError(f"the purpose holds control characters, expected one line of text. {HOW}")
    if not any(letter.isalpha() for letter in text):
        raise PurposeError(f"the purpose holds no letter, expected a few words. {HOW}")
    return text


def document(operation: dict[str, Any]) -> None:
    """Tell of the header in an operation of an OpenAPI document."""
    kind = {"type": "string", "maxLength": LONGEST, "examples": [EXAMPLE]}
    told = {"name": HEADER, "in": "header", "required": False, "description": ABOUT, "schema": kind}
    operation.setdefault("parameters", []).append(told)
