"""A case: a score that somebody contests, what they say about it, and what a reviewer decides."""

import json
import re
from dataclasses import dataclass
from typing import Any, Literal
from unicodedata import category

from sqlalchemy import Column, Integer, String, Table, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from features.errors import CloutError
from training.records import TABLES

State = Literal["open", "resolved"]
Decision = Literal["stands", "corrected", "acknowledged", "withdrawn"]
DECISIONS: dict[str, str] = {
    "stands": "the score is right as explained",
    "corrected": "something was wrong, and was put right",
    "acknowledged": "something is wrong, and cannot be put right",
    "withdrawn": "the person took it back",
}
CASE = "5f3a9c0b71d2e846"
LONGEST_TEXT = 4_000
MOST_OPEN = 10
LINE_ENDS = re.compile(r"\r\n?")


class Escaped(TypeDecorator):
    """A text as JSON writes it, in ASCII: PostgreSQL holds no NUL, and UTF-8 no half of a surrogate pair."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002 - as SQLAlchemy calls it
        """Write a text."""
        return None if value is None else json.dumps(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002
        """Read a text."""
        return None if value is None else json.loads(value)


CASES = Table(
    "cases",
    TABLES,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("case", String(16), unique=True, nullable=False),
    Column("user", Escaped, nullable=False, index=True),
    Column("scope", Escaped, nullable=False),
    Column("as_of", String, nullable=False),
    Column("model_version", String, nullable=False),
    Column("said", Escaped, nullable=False),
    Column("explanation", Escaped, nullable=False),
    Column("state", String, nullable=False, index=True),
    Column("opened", String, nullable=False),
    Column("opened_by", String, nullable=False),
    Column("decision", String),
    Column("reasons", Escaped),
    Column("resolved", String),
    Column("resolved_by", String),
    sqlite_autoincrement=True,
)


class UnknownCaseError(CloutError):
    """There is no case of that id."""


class ResolvedCaseError(CloutError):
    """A case was resolved already."""


class TooManyCasesError(CloutError):
    """Somebody has so many open cases that another would say nothing new."""


class CaseTextError(CloutError):
    """A text of a case is empty, too long, or holds what is no text."""


@dataclass(frozen=True)
class Case:
    """A score that somebody contests.

    Parameters
    ----------
    number : in the order of opening
    case : its id, which tells nothing
    user, scope, as_of, model_version : of the score
    said : by the person, what is wrong
    explanation : of the score, as it was when the case was opened
    state : open or resolved
    opened, opened_by : when, and the name of the API key
    decision, reasons, resolved, resolved_by : of the reviewer, once it is resolved

    """

    number: int
    case: str
    user: str
    scope: str
    as_of: str
    model_version: str
    said: str
    explanation: dict[str, Any]
    state: State
    opened: str
    opened_by: str
    decision: Decision | None = None
    reasons: str | None = None
    resolved: str | None = None
    resolved_by: str | None = None


def plain_text(text: str, what: str) -> str:
    """Return a text without blanks around it, its lines ended alike.

    Raises
    ------
    CaseTextError : it is empty, too long, or holds control characters

    """
    plain = LINE_ENDS.sub("\n", text).strip()
    if not plain:
        raise CaseTextError(f"{what} is empty, expected up to {LONGEST_TEXT:,} characters.")
    if len(plain) > LONGEST_TEXT:
        raise CaseTextError(f"{what} holds {len(plain):,} characters, expected {LONGEST_TEXT:,} at most.")
    strange = next((letter for letter in plain if category(letter) in ("Cc", "Cs") and letter not in "\n\t"), None)
    if strange is not None:
        raise CaseTextError(f"{what} holds {strange!r}, which is no text; expected letters, line ends and tabs.")
    return plain
