"""Commands on opt-outs and deletion: opt-out, forget, receipt."""

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.cli_options import HomeFolder, Identities, Json
from features.console import print_json, print_message, print_table, progress_bar
from training.home import home_from_environment

if TYPE_CHECKING:
    from training.records.deletion_receipts import Receipt


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
    from serving.cli.cases_and_audit import audited_command, user_name
    from training.records.opt_outs import list_opt_outs, opt_in, opt_out

    folder = home_from_environment(home)
    if user is None:
        if undo:
            raise typer.BadParameter("--undo revokes the opt-out of a user: give USER.")
        opt_outs = list_opt_outs(folder)
        if json:
            print_json([asdict(row) for row in opt_outs])
        else:
            rows = [[row.user, row.since] for row in opt_outs]
            print_table(f"{len(rows):,} opted out", ["user", "since"], rows, text_columns=2)
        return
    with audited_command(folder, "clout opt-out --undo" if undo else "clout opt-out", [user], user_name()):
        was_opted_out = opt_in(folder, user) if undo else None
        since = None if undo else opt_out(folder, user).since
    if undo:
        print_message(
            f"{user} is shown again, and scored from the next run on."
            if was_opted_out
            else f"{user} had not opted out."
        )
    else:
        print_message(f"{user} is hidden since {since}, and excluded from every run from now on. --undo revokes it.")


def forget(
    user: Annotated[
        str | None, typer.Argument(help="The user's id; without one, complete interrupted deletions.")
    ] = None,
    events: Annotated[
        list[Path] | None, typer.Option(help="An event table, a folder, or a store to clear; may be repeated.")
    ] = None,
    identities: Identities = None,
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Delete all data of a user, and print the receipt: what was removed where, and what remains.

    The user is hidden at once, then removed from every snapshot, from the records and from the given EVENTS, which are
    rewritten. A keyed hash of the id is stored, so that no later import brings the user back. If interrupted, run the
    same command again.

    Example: clout forget u0000042 --events community.parquet
    """
    from features.events.identities import read_identities
    from serving.cli.cases_and_audit import audited_command, user_name
    from serving.privacy.deletion import delete_pending, request_deletion
    from training.records.deletion_receipts import read_receipt

    folder = home_from_environment(home)
    if user is None and (events or identities):
        raise typer.BadParameter("--events and --identities need a user: give USER.")
    accounts = read_identities(identities) if identities else None
    with audited_command(folder, "clout forget", [user], user_name()) if user else nullcontext():
        requested = request_deletion(folder, user, events or [], accounts) if user else None
    with progress_bar("forget"):
        completed = delete_pending(folder)
    receipts = completed if requested is None else [read_receipt(folder, requested.receipt)]
    if json:
        print_json([asdict(receipt) for receipt in receipts] if requested is None else asdict(receipts[0]))
        return
    for receipt in receipts:
        _print_receipt(receipt)
    if not receipts:
        print_message("No deletion is pending.")


def receipt(
    receipt: Annotated[str, typer.Argument(help="Id of the receipt, as clout forget or DELETE returned it.")],
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Print the receipt of a deletion.

    Example: clout receipt 5f0c6e0a1b9d4c7788f3a2d1
    """
    from training.records.deletion_receipts import read_receipt

    result = read_receipt(home_from_environment(home), receipt)
    print_json(asdict(result)) if json else _print_receipt(result)


def _print_receipt(receipt: "Receipt") -> None:
    state = f"finished {receipt.finished}" if receipt.finished else "pending: hidden, but not removed everywhere yet"
    print_message(f"Receipt {receipt.receipt}: requested {receipt.asked}, {state}.")
    if receipt.removed:
        print_table("Removed", ["where", "rows"], [[item.place, f"{item.rows:,}"] for item in receipt.removed])
    elif receipt.finished:
        print_message("No data of the user was found.")
    for title, sentences in (("Not searched", receipt.failed), ("Remains", receipt.remains)):
        for sentence in sentences:
            print_message(f"{title}: {sentence}")
