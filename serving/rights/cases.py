"""Cases: opened with the explanation of that moment frozen in them, kept in the records, resolved once."""

import json
import re
import secrets
from dataclasses import asdict
from datetime import UTC, datetime
from typing import get_args

from sqlalchemy import Connection, Row, Select, delete, func, select, update

from serving.rights.case import (
    CASES,
    DECISIONS,
    MOST_OPEN,
    Case,
    CaseTextError,
    Decision,
    ResolvedCaseError,
    State,
    TooManyCasesError,
    UnknownCaseError,
    plain_text,
)
from serving.snapshots.explanations import Explanation
from training.home import Home
from training.records import Records


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
