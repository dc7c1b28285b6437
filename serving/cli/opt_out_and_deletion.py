"""The commands about rights: opt-out, forget, receipt."""

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
    user: Annotated[str | None, typer.Argument(help="The user's id; without one, list who opted out.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take the opt-out back.")] = False,
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Leave somebody out: hidden at once, neither scored nor counted in others' features from the next run on.

    Without USER, list who opted out, and since when.

    Example: clout opt-out u0000042
    """
    from serving.cli.cases_and_audit import commanded, user_name
    from training.records.opt_outs import list_opt_outs, opt_in, opt_out

    place = home_from_environment(home)
    if user is None:
        if undo:
            raise typer.BadParameter("--undo takes back the opt-out of somebody: give the user.")
        found = list_opt_outs(place)
        if json:
            print_json([asdict(each) for each in found])
        else:
            print_table(
                f"{len(found):,} opted out",
                ["user", "since"],
                [[each.user, each.since] for each in found],
                text_columns=2,
            )
        return
    with commanded(place, "clout opt-out --undo" if undo else "clout opt-out", [user], user_name()):
        back = opt_in(place, user) if undo else None
        since = None if undo else opt_out(place, user).since
    if undo:
        print_message(
            f"{user} is shown again, and scored from the next run on." if back else f"{user} had not opted out."
        )
    else:
        print_message(f"{user} is hidden since {since}, and left out of every run from now on. --undo takes it back.")


def forget(
    user: Annotated[
        str | None, typer.Argument(help="The user's id; without one, bring what was broken off to its end.")
    ] = None,
    events: Annotated[
        list[Path] | None, typer.Option(help="An event table, a folder, or a store to clear; may be given again.")
    ] = None,
    identities: Identities = None,
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Delete everything of somebody, and print the receipt: what was removed where, and what remains.

    Hidden at once, then removed from every snapshot, from the records and from the EVENTS given, which are written
    anew. Of the id a keyed hash is kept, so that nothing brings the person back. Broken off, the same command goes on.

    Example: clout forget u0000042 --events community.parquet
    """
    from features.events.identities import read_identities
    from serving.cli.cases_and_audit import commanded, user_name
    from serving.privacy.deletion import delete_pending, request_deletion
    from training.records.deletion_receipts import read_receipt

    place = home_from_environment(home)
    if user is None and (events or identities):
        raise typer.BadParameter("--events and --identities go with a user.")
    accounts = read_identities(identities) if identities else None
    with commanded(place, "clout forget", [user], user_name()) if user else nullcontext():
        asked = request_deletion(place, user, events or [], accounts) if user else None
    with progress_bar("forget"):
        done = delete_pending(place)
    shown = done if asked is None else [read_receipt(place, asked.receipt)]
    if json:
        print_json([asdict(each) for each in shown] if asked is None else asdict(shown[0]))
        return
    for each in shown:
        _tell(each)
    if not shown:
        print_message("No deletion is under way.")


def receipt(
    receipt: Annotated[str, typer.Argument(help="As clout forget, or DELETE, answered it.")],
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Print the receipt of a deletion again.

    Example: clout receipt 5f0c6e0a1b9d4c7788f3a2d1
    """
    from training.records.deletion_receipts import read_receipt

    found = read_receipt(home_from_environment(home), receipt)
    print_json(asdict(found)) if json else _tell(found)


def _tell(receipt: "Receipt") -> None:
    state = f"finished {receipt.finished}" if receipt.finished else "under way: hidden, not removed everywhere yet"
    print_message(f"Receipt {receipt.receipt}: asked {receipt.asked}, {state}.")
    if receipt.removed:
        print_table("Removed", ["where", "rows"], [[each.place, f"{each.rows:,}"] for each in receipt.removed])
    elif receipt.finished:
        print_message("Nothing of the person was found.")
    for title, sentences in (("Not looked through", receipt.failed), ("Remains", receipt.remains)):
        for sentence in sentences:
            print_message(f"{title}: {sentence}")
