"""Commands on contested scores, the audit log, opt-outs and deletion; those that decide about users are audited."""

import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from features.cli_options import FirstInstant, HomeFolder, Identities, Json, LastInstant, parse_instant
from features.console import ERR, print_json, print_message, print_points, print_table, print_text, progress_bar, warn
from features.errors import CloutError, SnapshotError, UnknownUserError
from serving.cli.explain_and_review import import_model_libraries
from training.home import Home, existing_home

if TYPE_CHECKING:
    from serving.privacy.cases import Case, Cases
    from training.records.deletion_receipts import Receipt

EXIT_TAMPERED = EXIT_INCOMPLETE = 3
MOST = 100_000  # rows that a command lists
CaseId = Annotated[str, typer.Argument(help="The id of the case, as clout cases lists it.")]


def cases(
    state: Annotated[Literal["open", "resolved", "any"], typer.Option(help="Which cases.")] = "open",
    user: Annotated[str | None, typer.Option(help="Only cases of this user.")] = None,
    top: Annotated[int, typer.Option(min=1, max=MOST, help="How many, oldest first.")] = 50,
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """List contested scores, oldest first.

    Example: clout cases --state any
    """
    import_model_libraries()
    from serving.cli.privacy_tables import print_cases

    matches = _cases(existing_home(home)).page(None if state == "any" else state, user, 0, top + 1)
    page = matches[:top]
    print_json([_summary(case) for case in page]) if json else print_cases(page, state, len(matches) > top)


def case(case: CaseId, home: HomeFolder = None, json: Json = False) -> None:
    """Show a case: what the user says, the ledger of then and of today, and what moved.

    Example: clout case 5f3a9c0b71d2e846
    """
    import_model_libraries()
    from serving.cli.privacy_tables import print_case
    from serving.cli.served_snapshot import open_served
    from serving.privacy.case_comparison import compare_case

    folder = existing_home(home)
    contested = _cases(folder).find(case)
    today = compare_case(contested, lambda: open_served(folder)[0])
    if json:
        print_json({"case": _summary(contested), "explanation": contested.explanation, "today": asdict(today)})
    else:
        print_case(contested, today, folder)


def resolve(
    case: CaseId,
    decision: Annotated[
        Literal["stands", "corrected", "acknowledged", "withdrawn"],
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

    corrected is refused as long as the served score is the contested one: score again first.

    Example: clout resolve 5f3a9c0b71d2e846 --decision stands --reason "The replies of July are all in it."
    """
    folder, name = existing_home(home), by or user_name()
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise CloutError(f"{name[:100]!r} is not a valid name of a reviewer; expected up to 100 printable characters.")
    import_model_libraries()
    from serving.cli.served_snapshot import open_served
    from serving.privacy.case_comparison import check_decision

    records = _cases(folder)
    contested = records.find(case)
    check_decision(contested, decision, lambda: open_served(folder)[0])
    with audited_command(folder, "clout resolve", [contested.user], name):
        resolved = records.resolve(case, decision, reason, name)
    print_message(f"Case {resolved.case} of {resolved.user} is resolved by {name}: {decision}.")


def audit(
    user: Annotated[str | None, typer.Option(help="Only reads about this user.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Check whether lines were altered, removed, added or moved.")
    ] = False,
    start: FirstInstant = None,
    end: LastInstant = None,
    top: Annotated[int, typer.Option(min=1, max=MOST, help="How many, newest first.")] = 50,
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Show who read about a user, or about any user, and for what purpose; newest first.

    --check verifies every line, and exits with 3 if any was altered, removed, added or moved. It does not notice lines
    cut from the end of a file, or files removed completely.

    Example: clout audit --user u0000042
    """
    from serving.cli.privacy_tables import print_audit_check, print_reads
    from serving.privacy.audit_check_and_reads import check_audit_log, reads_about

    folder = existing_home(home)
    if check:
        if user is not None or start is not None or end is not None:
            raise typer.BadParameter("--check verifies every line: omit --user, --from and --to.")
        result = check_audit_log(folder)
        print_json(asdict(result)) if json else print_audit_check(result)
        if result.tampered:
            sys.exit(EXIT_TAMPERED)
        return
    reads = reads_about(folder, user, parse_instant(start), parse_instant(end), top)
    print_json(asdict(reads)) if json else print_reads(reads, folder, start)


def opt_out(
    user: Annotated[str | None, typer.Argument(help="The user's id; without one, list all opt-outs.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Revoke the opt-out.")] = False,
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Opt a user out: hidden at once, neither scored nor counted in others' features from the next run on.

    Without USER, list the users that have opted out, and since when.

    Example: clout opt-out u0000042
    """
    from training.records.opt_outs import list_opt_outs, opt_in, opt_out, read_user_id

    folder = existing_home(home)
    if user is None:
        if undo:
            raise typer.BadParameter("--undo revokes the opt-out of a user: give USER.")
        rows = [asdict(row) for row in list_opt_outs(folder)]
        table = [[row["user"], row["since"]] for row in rows]
        print_json(rows) if json else print_table(f"{len(rows):,} opted out", ["user", "since"], table, text_columns=2)
        return
    user = read_user_id(user)
    with audited_command(folder, "clout opt-out --undo" if undo else "clout opt-out", [user], user_name()):
        if not undo:
            _warn_if_unknown(folder, user, [user], "--undo revokes the opt-out.")
            since = opt_out(folder, user).since
            message = f"{user} is hidden since {since}, and excluded from every run from now on. --undo revokes it."
        elif opt_in(folder, user):
            message = f"{user} is shown again, and scored from the next run on."
        else:
            message = f"{user} had not opted out."
    print_message(message)


def _warn_if_unknown(home: Home, user: str, accounts: Sequence[str], advice: str) -> None:
    """Warn that an id may be misspelled where the newest snapshot, if there is one, has none of a user's accounts."""
    import_model_libraries()
    from serving.snapshots.repository import open_snapshot
    from training.records.opt_outs import HiddenUserError

    try:
        snapshot = open_snapshot(home)
        if not snapshot.scores_by_user(accounts):
            snapshot.score(user)
    except UnknownUserError as error:
        warn(f"{error} If the id is misspelled, {advice}")
    except (SnapshotError, HiddenUserError):
        return


def forget(
    user: Annotated[
        str | None, typer.Argument(help="The user's id; without one, complete interrupted deletions.")
    ] = None,
    events: Annotated[
        list[Path] | None, typer.Option(help="An event table, a folder, or a store to clear; may be repeated.")
    ] = None,
    identities: Identities = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Rewrite EVENTS without a question, which only a terminal shows.")
    ] = False,
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Delete all data of a user, and print the receipt: what was removed where, and what remains.

    The user is hidden at once, then removed from every snapshot, from the records and from the given EVENTS, which are
    rewritten. A keyed hash of the id is stored, so that no later import brings the user back. If interrupted, run the
    same command again.

    Exit code: 0 if every place was searched, 3 if the receipt names one that could not be, 2 on an error.

    Example: clout forget u0000042 --events community.parquet
    """
    from features.events.identities import read_identities
    from serving.privacy.deletion import accounts_of, delete_pending, request_deletion
    from training.records.deletion_receipts import read_receipt
    from training.records.opt_outs import read_user_id

    folder = existing_home(home)
    if user is None and (events or identities):
        raise typer.BadParameter("--events and --identities need a user: give USER.")
    people = read_identities(identities) if identities else None
    requested = None
    if user is not None:
        id_ = read_user_id(user)
        undo = f"'{folder.command(f'opt-out {shlex.quote(id_)} --undo')}' shows it again."
        _warn_if_unknown(folder, id_, accounts_of(user, events or [], people), undo)
        if events and not yes:
            _confirm_deletion(id_, events)
        with audited_command(folder, "clout forget", [id_], user_name()):
            requested = request_deletion(folder, user, events or [], people)
    with progress_bar("forget"):
        completed = delete_pending(folder)
    receipts = completed if requested is None else [read_receipt(folder, requested.receipt)]
    if json:
        print_json([asdict(receipt) for receipt in receipts] if requested is None else asdict(receipts[0]))
    elif not receipts:
        print_text("No deletion is pending.")
    else:
        for receipt in receipts:
            _print_receipt(receipt)
    if any(receipt.failed for receipt in receipts):
        sys.exit(EXIT_INCOMPLETE)


def _confirm_deletion(user: str, events: Iterable[Path]) -> None:
    """Ask before event files are rewritten, where the standard input is a terminal."""
    if not sys.stdin.isatty():
        return
    files = ", ".join(map(str, events))
    question = f"Delete all data of {user!r}, also from {files}? It cannot be restored. [y/N]: "
    if ERR.input(question, markup=False).strip().lower() not in ("y", "yes"):
        raise CloutError("nothing was deleted, because the answer was no.")


def receipt(
    receipt: Annotated[str, typer.Argument(help="Id of the receipt, as clout forget or DELETE returned it.")],
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Print the receipt of a deletion.

    Example: clout receipt 5f0c6e0a1b9d4c7788f3a2d1
    """
    from training.records.deletion_receipts import read_receipt

    result = read_receipt(existing_home(home), receipt)
    print_json(asdict(result)) if json else _print_receipt(result)


def _print_receipt(receipt: "Receipt") -> None:
    state = f"finished {receipt.finished}" if receipt.finished else "pending: hidden, but not removed everywhere yet"
    print_text(f"Receipt {receipt.receipt}: requested {receipt.asked}, {state}.")
    if receipt.removed:
        print_table("Removed", ["where", "rows"], [[item.place, f"{item.rows:,}"] for item in receipt.removed])
    elif receipt.finished:
        print_text("No data of the user was found.")
    print_points("Not searched", receipt.failed)
    print_points("What remains", receipt.remains)


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
