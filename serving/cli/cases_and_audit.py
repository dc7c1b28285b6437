"""Commands on cases and the audit log, and the audit lines of commands that decide about users."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from getpass import getuser
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from features.cli_options import HomeFolder, Json, parse_instant
from features.console import print_json, print_message
from features.errors import CloutError
from serving.cli.review import import_model_libraries
from training.home import Home, home_from_environment

if TYPE_CHECKING:
    from serving.privacy.cases import Case, Cases

EXIT_TAMPERED = 3
CaseId = Annotated[str, typer.Argument(help="The id of the case, as clout cases lists it.")]


class CaseState(StrEnum):
    """The states to list cases by."""

    open = "open"
    resolved = "resolved"
    any = "any"


STATES: dict[CaseState, Literal["open", "resolved"] | None] = {
    CaseState.open: "open",
    CaseState.resolved: "resolved",
    CaseState.any: None,
}


class CaseDecision(StrEnum):
    """The decisions of a reviewer."""

    stands = "stands"
    corrected = "corrected"
    acknowledged = "acknowledged"
    withdrawn = "withdrawn"


def cases(
    state: Annotated[CaseState, typer.Option(help="Which cases.")] = CaseState.open,
    user: Annotated[str | None, typer.Option(help="Only cases of this user.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many, oldest first.")] = 50,
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """List contested scores, oldest first.

    Example: clout cases --state any
    """
    import_model_libraries()
    from serving.cli.privacy_tables import print_cases

    page = _cases(home_from_environment(home)).page(STATES[state], user, 0, top)
    if json:
        print_json([_summary(case) for case in page])
    else:
        print_cases(page, state.value)


def case(case: CaseId, home: HomeFolder = None, json: Json = False) -> None:
    """Show a case: what the user says, the ledger of then and of today, and what moved.

    Example: clout case 5f3a9c0b71d2e846
    """
    import_model_libraries()
    from serving.cli.privacy_tables import print_case
    from serving.privacy.case_comparison import compare_case
    from serving.snapshots.repository import open_snapshot

    folder = home_from_environment(home)
    contested = _cases(folder).find(case)
    today = compare_case(contested, lambda: open_snapshot(folder))
    if json:
        print_json({"case": _summary(contested), "explanation": contested.explanation, "today": asdict(today)})
    else:
        print_case(contested, today)


def resolve(
    case: CaseId,
    decision: Annotated[
        CaseDecision,
        typer.Option(
            help="stands: the score is right; corrected: something was wrong and was corrected; acknowledged: "
            "something is wrong and cannot be corrected; withdrawn: the user withdrew the case."
        ),
    ],
    reason: Annotated[str, typer.Option(help="The reasons, for the user.")],
    by: Annotated[str | None, typer.Option(help="Name of the reviewer; default the operating system's user.")] = None,
    home: HomeFolder = None,
) -> None:
    """Resolve a case. It cannot be reopened; the user can read the decision and reasons; the audit log has a line.

    Example: clout resolve 5f3a9c0b71d2e846 --decision stands --reason "The replies of July are all in it."
    """
    folder, name = home_from_environment(home), by or user_name()
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise CloutError(f"{name[:100]!r} is not a valid name of a reviewer; expected up to 100 printable characters.")
    records = _cases(folder)
    with audited_command(folder, "clout resolve", [records.find(case).user], name):
        resolved = records.resolve(case, decision.value, reason, name)
    print_message(f"Case {resolved.case} of {resolved.user} is resolved by {name}: {decision.value}.")


def audit(
    user: Annotated[str | None, typer.Option(help="Only reads about this user.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Check whether lines were altered, removed, added or moved.")
    ] = False,
    start: Annotated[str | None, typer.Option("--from", help="The first instant; default unbounded.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="The last instant; default unbounded.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 50,
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Show who read about a user, or about any user, and for what purpose; newest first.

    --check verifies every line, and exits with 3 if any was altered, removed, added or moved. It does not notice lines
    cut from the end of a file, or files removed completely.

    Example: clout audit --user u0000042
    """
    from serving.cli.privacy_tables import print_audit_check, print_reads
    from serving.privacy.audit_queries import check_audit_log, reads_about

    folder = home_from_environment(home)
    if check:
        if user is not None or start is not None or end is not None:
            raise typer.BadParameter("--check verifies every line: omit --user, --from and --to.")
        result = check_audit_log(folder)
        print_json(asdict(result)) if json else print_audit_check(result)
        if result.tampered:
            sys.exit(EXIT_TAMPERED)
        return
    reads = reads_about(folder, user, parse_instant(start), parse_instant(end), top)
    print_json(asdict(reads)) if json else print_reads(reads)


def _cases(home: "Home") -> "Cases":
    from serving.privacy.cases import Cases
    from training.records.database import Records

    return Cases(Records(home))


def _summary(case: "Case") -> dict[str, Any]:
    return {name: value for name, value in asdict(case).items() if name not in ("explanation", "number")}


@contextmanager
def audited_command(home: Home, command: str, users: Iterable[str], name: str) -> Iterator[None]:
    """Run the body of a command that decides about users, then log it; nothing is run if nothing can be logged.

    Parameters
    ----------
    home : the home with the audit log
    command : such as `clout resolve`
    users : ids of the users that it is about
    name : of the operator

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
    """Return the name of the operating system's user, or the number of a user without one."""
    try:
        return getuser()
    except (KeyError, OSError):
        return str(os.getuid())
