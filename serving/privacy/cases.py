"""Cases: contested scores, stored with the explanation of that moment and resolved once by a reviewer."""

import json
import re
import secrets
from dataclasses import asdict, dataclass
from typing import Any, Literal
from unicodedata import category

from sqlalchemy import Column, Connection, Integer, Select, String, Table, Text, delete, func, select, update
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator
from typing_extensions import TypeAliasType

from features.errors import CloutError
from features.utc import UtcText, now_iso_utc
from serving.snapshots.explanation import Explanation
from training.home import Home
from training.records.database import TABLES, Records

State = TypeAliasType("State", Literal["open", "resolved"])
Decision = TypeAliasType("Decision", Literal["stands", "corrected", "acknowledged", "withdrawn"])
DECISIONS: dict[str, str] = {
    "stands": "the score is right as explained",
    "corrected": "something was wrong and was corrected",
    "acknowledged": "something is wrong and cannot be corrected",
    "withdrawn": "the user withdrew the case",
}
EXAMPLE_CASE = "5f3a9c0b71d2e846"
MAX_TEXT_LENGTH = 4_000
MAX_OPEN_CASES = 10
LINE_ENDS = re.compile(r"\r\n?")


class JsonText(TypeDecorator[Any]):
    """Text stored as ASCII JSON: PostgreSQL cannot store NUL, and UTF-8 cannot encode a lone surrogate."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy passes it
        """Encode a value."""
        return None if value is None else json.dumps(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002
        """Decode a value."""
        return None if value is None else json.loads(value)


CASES = Table(
    "cases",
    TABLES,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("case", String(16), unique=True, nullable=False),
    Column("user", JsonText, nullable=False, index=True),
    Column("scope", JsonText, nullable=False),
    Column("as_of", String, nullable=False),
    Column("model_version", String, nullable=False),
    Column("said", JsonText, key="message", nullable=False),  # its name in earlier databases
    Column("explanation", JsonText, nullable=False),
    Column("state", String, nullable=False, index=True),
    Column("opened", String, nullable=False),
    Column("opened_by", String, nullable=False),
    Column("decision", String),
    Column("reasons", JsonText),
    Column("resolved", String),
    Column("resolved_by", String),
    sqlite_autoincrement=True,
)


class UnknownCaseError(CloutError):
    """No case has this id."""


class ResolvedCaseError(CloutError):
    """A case is already resolved."""


class TooManyCasesError(CloutError):
    """A user has as many open cases as are allowed."""


class CaseTextError(CloutError):
    """A text of a case is empty, too long, or contains control characters."""


@dataclass(frozen=True)
class Case:
    """A contested score.

    Parameters
    ----------
    number : in the order of opening
    case : its id, which is random
    user, scope, as_of, model_version : of the score
    message : what is wrong, in the user's words
    explanation : of the score, at the time when the case was opened
    state : open or resolved
    opened, opened_by : the time, and the name of the API key
    decision, reasons, resolved, resolved_by : of the reviewer; None while the case is open

    """

    number: int
    case: str
    user: str
    scope: str
    as_of: UtcText
    model_version: str
    message: str
    explanation: dict[str, Any]
    state: State
    opened: str
    opened_by: str
    decision: Decision | None = None
    reasons: str | None = None
    resolved: str | None = None
    resolved_by: str | None = None


def clean_text(text: str, name: str) -> str:
    """Strip a text and normalise its line ends.

    Raises
    ------
    CaseTextError : it is empty, too long, or contains control characters

    """
    plain = LINE_ENDS.sub("\n", text).strip()
    if not plain:
        raise CaseTextError(f"{name} is empty, expected up to {MAX_TEXT_LENGTH:,} characters.")
    if len(plain) > MAX_TEXT_LENGTH:
        raise CaseTextError(f"{name} has {len(plain):,} characters, expected {MAX_TEXT_LENGTH:,} at most.")
    control = next((letter for letter in plain if category(letter) in ("Cc", "Cs") and letter not in "\n\t"), None)
    if control is not None:
        raise CaseTextError(f"{name} contains {control!r}, expected letters, line ends and tabs.")
    return plain


class Cases:
    """The cases in the records, oldest first; every method raises RecordsError if these cannot be used."""

    def __init__(self, records: Records):
        self._records = records

    def open(self, contested: Explanation, message: str, by: str) -> Case:
        """Open a case about a score and store its explanation.

        Raises
        ------
        CaseTextError : the message is not valid
        TooManyCasesError : the user has ten open cases

        """
        values = {
            "case": secrets.token_hex(8),
            **{name: getattr(contested, name) for name in ("user", "scope", "as_of", "model_version")},
            "message": clean_text(message, "the statement of what is wrong"),
            "explanation": json.loads(json.dumps(asdict(contested), allow_nan=False)),
            "state": "open",
            "opened": now_iso_utc("milliseconds"),
            "opened_by": by,
        }
        with self._records.begin() as connection:
            open_cases = select(func.count()).where(CASES.c.user == contested.user, CASES.c.state == "open")
            if connection.execute(open_cases).scalar_one() >= MAX_OPEN_CASES:
                raise TooManyCasesError(
                    f"{MAX_OPEN_CASES} cases of {contested.user!r} are already open: wait until one is resolved."
                )
            number = connection.execute(CASES.insert().values(**values)).inserted_primary_key
        return Case(number=int(number[0]) if number else 0, **values)

    def find(self, case: str) -> Case:
        """Return a case.

        Raises
        ------
        UnknownCaseError : no case has this id

        """
        with self._records.begin_if_exists() as connection:
            cases = [] if connection is None else _select(connection, select(CASES).where(CASES.c.case == _id(case)))
        if not cases:
            raise UnknownCaseError(
                f"case {case[:100]!r} does not exist; 'clout cases' and GET /v1/cases list the cases."
            )
        return cases[0]

    def page(self, state: State | None, user: str | None = None, after: int = 0, limit: int = 100) -> list[Case]:
        """Return cases in the order of opening, from the number after `after`; of any state and user if None."""
        query = select(CASES).where(CASES.c.number > after).order_by(CASES.c.number).limit(limit)
        for column, value in ((CASES.c.state, state), (CASES.c.user, user)):
            query = query if value is None else query.where(column == value)
        with self._records.begin_if_exists() as connection:
            return [] if connection is None else _select(connection, query)

    def resolve(self, case: str, decision: Decision, reasons: str, by: str) -> Case:
        """Resolve a case; if two reviewers do so at the same time, one of them succeeds.

        Raises
        ------
        UnknownCaseError : no case has this id
        ResolvedCaseError : the case is already resolved; the message names the decision
        CaseTextError : the decision is unknown, or the reasons are not valid

        """
        if decision not in DECISIONS:
            raise CaseTextError(f"unknown decision {decision!r}; expected one of {', '.join(DECISIONS)}.")
        values = {
            "state": "resolved",
            "decision": decision,
            "reasons": clean_text(reasons, "the text of the reasons"),
            "resolved": now_iso_utc("milliseconds"),
            "resolved_by": by,
        }
        self.find(case)
        with self._records.begin() as connection:
            is_open = (CASES.c.case == _id(case)) & (CASES.c.state == "open")
            updated = connection.execute(update(CASES).where(is_open).values(**values)).rowcount
        resolved = self.find(case)
        if not updated:
            raise ResolvedCaseError(
                f"case {case!r} was already resolved on {str(resolved.resolved)[:10]}, as {resolved.decision!r}."
            )
        return resolved

    def delete(self, user: str) -> int:
        """Delete all cases of a user, as `delete_cases` does."""
        with self._records.begin_if_exists() as connection:
            return 0 if connection is None else connection.execute(delete(CASES).where(CASES.c.user == user)).rowcount


def delete_cases(home: Home, user: str) -> int:
    """Delete all cases of a user, open and resolved, with their explanations; returns how many there were.

    Raises
    ------
    RecordsError : the records cannot be written

    """
    return Cases(Records(home)).delete(user)


def _select(connection: Connection, query: Select[Any]) -> list[Case]:
    return [Case(**dict(zip(CASES.c.keys(), row, strict=True))) for row in connection.execute(query)]


def _id(case: str) -> str:
    """Return an id to search for; a malformed one becomes empty, which matches nothing and is safe for the database."""
    return case if re.fullmatch(r"[0-9a-f]{16}", case) else ""
