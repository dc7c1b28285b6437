"""The commands about people's rights: cases and their resolution, and the audit log.

Commands that decide about people, and their lines in the audit log.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from getpass import getuser
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from features.cli_options import HomeFolder, Json
from features.console import print_json, print_message
from features.errors import CloutError
from training.home import Home, home_from_environment

if TYPE_CHECKING:
    from serving.privacy.cases import Case, Cases

PASSED = 3
CaseId = Annotated[str, typer.Argument(help="The id of the case, as clout cases lists it.")]


class CaseState(StrEnum):
    """Which cases to list."""

    open = "open"
    resolved = "resolved"
    any = "any"


STATES: dict[CaseState, Literal["open", "resolved"] | None] = {
    CaseState.open: "open",
    CaseState.resolved: "resolved",
    CaseState.any: None,
}


class CaseDecision(StrEnum):
    """What a reviewer decides."""

    stands = "stands"
    corrected = "corrected"
    acknowledged = "acknowledged"
    withdrawn = "withdrawn"


def cases(
    state: Annotated[CaseState, typer.Option(help="Which cases.")] = CaseState.open,
    user: Annotated[str | None, typer.Option(help="Of this person alone.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many, the oldest first.")] = 50,
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """List the scores that people contest, oldest first.

    Example: clout cases --state any
    """
    from serving.cli.privacy_tables import cases_table

    found = _cases(home_from_environment(home)).page(STATES[state], user, 0, top)
    if json:
        print_json([_listed(case) for case in found])
    else:
        cases_table(found, state.value)


def case(case: CaseId, home: HomeFolder = None, json: Json = False) -> None:
    """Show a case: what the person says, the ledger as it was then, today's beside it, and what moved.

    Example: clout case 5f3a9c0b71d2e846
    """
    from serving.cli.privacy_tables import case_table
    from serving.privacy.case_comparison import compare_case
    from serving.snapshots.repository import open_snapshot

    place = home_from_environment(home)
    found = _cases(place).find(case)
    today = compare_case(found, lambda: open_snapshot(place))
    if json:
        print_json({"case": _listed(found), "explanation": found.explanation, "today": asdict(today)})
    else:
        case_table(found, today)


def resolve(
    case: CaseId,
    decision: Annotated[
        CaseDecision,
        typer.Option(
            help="stands: the score is right; corrected: something was put right; acknowledged: something is wrong "
            "and cannot be put right; withdrawn: the person took it back."
        ),
    ],
    reason: Annotated[str, typer.Option(help="For the person, why.")],
    by: Annotated[str | None, typer.Option(help="Who decides; default the name of the system's user.")] = None,
    home: HomeFolder = None,
) -> None:
    """Resolve a case, for good: the decision and its reasons are told to the person, and it is in the audit log.

    Example: clout resolve 5f3a9c0b71d2e846 --decision stands --reason "The replies of July are all in it."
    """
    place, name = home_from_environment(home), by or user_name()
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise CloutError(f"{name[:100]!r} cannot name a reviewer; expected up to 100 printable characters.")
    found = _cases(place).find(case)
    with commanded(place, "clout resolve", [found.user], name):
        resolved = _cases(place).resolve(case, decision.value, reason, name)
    print_message(f"The case {resolved.case} of {resolved.user} is resolved by {name}: {decision.value}.")


def audit(
    user: Annotated[str | None, typer.Option(help="About this person alone.")] = None,
    check: Annotated[bool, typer.Option("--check", help="See whether lines were altered or taken away.")] = False,
    start: Annotated[str | None, typer.Option("--from", help="The first instant that counts; default all.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="The last instant that counts; default all.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 50,
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Show who read about somebody, or about anybody, and what for; newest first.

    --check reads the whole log, and exits with 3 where a line was altered, removed, added or moved.

    Example: clout audit --user u0000042
    """
    from features.utc import parse_utc
    from serving.cli.privacy_tables import checked_table, reads_table
    from serving.privacy.audit_queries import check_audit_log, reads_about

    place = home_from_environment(home)
    if check:
        if user is not None or start is not None or end is not None:
            raise typer.BadParameter("--check reads the whole log: leave out --user, --from and --to.")
        checked = check_audit_log(place)
        print_json(asdict(checked)) if json else checked_table(checked)
        if checked.tampered:
            sys.exit(PASSED)
        return
    told = reads_about(place, user, parse_utc(start) if start else None, parse_utc(end) if end else None, top)
    print_json(asdict(told)) if json else reads_table(told)


def _cases(home: "Home") -> "Cases":
    from serving.privacy.cases import Cases
    from training.records.database import Records

    return Cases(Records(home))


def _listed(case: "Case") -> dict:
    return {name: held for name, held in asdict(case).items() if name not in ("explanation", "number")}


@contextmanager
def commanded(home: Home, command: str, users: Iterable[str], name: str) -> Iterator[None]:
    """Do what a command decides about people, and write a line about it; nothing is done where none could be written.

    Parameters
    ----------
    home : whose log
    command : such as `clout resolve`
    users : whom it is about
    name : of who decides

    Raises
    ------
    AuditError : no line can be written

    """
    from serving.privacy.audit_log import AuditLog

    log = AuditLog(home)
    log.check()
    try:
        yield
        log.write({"method": "command", "route": command, "key": "", "name": name}, users)
    finally:
        log.close()


def user_name() -> str:
    """Return the name of the system's user, or the number where there is none."""
    try:
        return getuser()
    except (KeyError, OSError):
        return str(os.getuid())
