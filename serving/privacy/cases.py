"""A case: a score that somebody contests, what they say about it, and what a reviewer decides.

Cases: opened with the explanation of that moment frozen in them, kept in the records, resolved once.
"""

import json
import re
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args
from unicodedata import category

from sqlalchemy import Column, Connection, Integer, Row, Select, String, Table, Text, delete, func, select, update
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from features.errors import CloutError
from serving.snapshots.explanation import Explanation
from training.home import Home
from training.records.database import TABLES, Records

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


class Cases:
    """The cases of a home, oldest first.

    Parameters
    ----------
    records : where they are kept; what goes wrong there is a RecordsError

    """

    def __init__(self, records: Records):
        self._records = records

    def open(self, contested: Explanation, said: str, by: str) -> Case:
        """Open a case about a score, of which the explanation is frozen in it.

        Raises
        ------
        CaseTextError : what is said is no text
        TooManyCasesError : the user has ten open ones

        """
        values = {
            "case": secrets.token_hex(8),
            **{name: getattr(contested, name) for name in ("user", "scope", "as_of", "model_version")},
            "said": plain_text(said, "what is said to be wrong"),
            "explanation": json.loads(json.dumps(asdict(contested), allow_nan=False)),
            "state": "open",
            "opened": _now(),
            "opened_by": by,
        }
        with self._records.writing() as connection:
            held = select(func.count()).where(CASES.c.user == contested.user, CASES.c.state == "open")
            if connection.execute(held).scalar_one() >= MOST_OPEN:
                raise TooManyCasesError(
                    f"{MOST_OPEN} cases of {contested.user!r} are open already: wait until one is resolved."
                )
            number = connection.execute(CASES.insert().values(**values)).inserted_primary_key
        return Case(number=int(number[0]) if number else 0, **values)

    def find(self, case: str) -> Case:
        """Return a case.

        Raises
        ------
        UnknownCaseError : there is none of that id

        """
        with self._records.reading() as connection:
            found = [] if connection is None else _cases(connection, select(CASES).where(CASES.c.case == _id(case)))
        if not found:
            raise UnknownCaseError(f"there is no case {case[:100]!r}.")
        return found[0]

    def page(self, state: State | None, user: str | None = None, after: int = 0, most: int = 100) -> list[Case]:
        """Return cases in the order of opening: those of a state and of a user, where given, after a number."""
        sought = select(CASES).where(CASES.c.number > after).order_by(CASES.c.number).limit(most)
        for column, value in ((CASES.c.state, state), (CASES.c.user, user)):
            sought = sought if value is None else sought.where(column == value)
        with self._records.reading() as connection:
            return [] if connection is None else _cases(connection, sought)

    def resolve(self, case: str, decision: Decision, reasons: str, by: str) -> Case:
        """Resolve a case; of two reviewers who do so at the same time, one does.

        Raises
        ------
        UnknownCaseError : there is none of that id
        ResolvedCaseError : it was resolved before; says as what
        CaseTextError : the decision is none, or the reasons are no text

        """
        if decision not in get_args(Decision):
            raise CaseTextError(f"there is no decision {decision!r}; expected one of {', '.join(DECISIONS)}.")
        told = {"decision": decision, "reasons": plain_text(reasons, "the reasons")}
        values = {"state": "resolved", "resolved": _now(), "resolved_by": by, **told}
        self.find(case)
        with self._records.writing() as connection:
            open_one = (CASES.c.case == _id(case)) & (CASES.c.state == "open")
            resolved = connection.execute(update(CASES).where(open_one).values(**values)).rowcount
        found = self.find(case)
        if not resolved:
            raise ResolvedCaseError(
                f"the case {found.case!r} was resolved already, on {str(found.resolved)[:10]}, as {found.decision!r}."
            )
        return found

    def forget(self, user: str) -> int:
        """Delete all cases of a user; returns how many there were."""
        with self._records.reading() as connection:
            if connection is None:
                return 0
            return connection.execute(delete(CASES).where(CASES.c.user == user)).rowcount


def forget_cases(home: Home, user: str) -> int:
    """Delete all cases of a user, open and resolved, with the explanations in them; returns how many there were.

    Raises
    ------
    RecordsError : the records cannot be written

    """
    return Cases(Records(home)).forget(user)


def _cases(connection: Connection, sought: Select) -> list[Case]:
    return [_case(row) for row in connection.execute(sought)]


def _case(row: Row) -> Case:
    return Case(**row._mapping)


def _id(case: str) -> str:
    """Return an id as it is looked for: what no id looks like finds none, and is not handed to the database."""
    return case if re.fullmatch(r"[0-9a-f]{16}", case) else ""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
