"""The commands that list the snapshots of a home and remove one."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from features.cli_options import Database, HomeFolder, Json
from features.console import print_json, print_message, print_table
from features.errors import SnapshotError
from features.utc import to_iso_utc
from training.home import existing_home

snapshots = typer.Typer(no_args_is_help=True, help="List the snapshots of scores, or remove one.")


@snapshots.command(name="list")
def list_(home: HomeFolder = None, json: Json = False) -> None:
    """List the snapshots, newest first, with the one that is served.

    Example: clout snapshots list
    """
    from serving.cli.served_snapshot import find_champion_version
    from serving.snapshots.repository import require_snapshots, served_folder

    folder = existing_home(home)
    folders = require_snapshots(folder)
    served = served_folder(folders, find_champion_version(folder))
    rows = [_facts(snapshot) | {"served": snapshot == served} for snapshot in folders]
    if json:
        print_json(rows)
        return
    cells = [[str(row["snapshot"]), _note(row), "" if row["damaged"] else f"{row['users']:,}"] for row in rows]
    print_table("Snapshots", ["snapshot", "note", "users"], cells, text_columns=2)


def _facts(snapshot: Path) -> dict[str, object]:
    """Return what a snapshot says of itself, for machines; a damaged one can be listed and removed as well."""
    from serving.snapshots.layout import age_order, read_facts

    at, _, version = age_order(snapshot)
    facts = None
    with suppress(SnapshotError):
        facts = read_facts(snapshot)
    return {
        "snapshot": snapshot.name,
        "as_of": to_iso_utc(at),
        "model_version": version,
        "users": facts and facts.users,
        "released": facts and facts.released,
        "forced": facts and facts.forced,
        "damaged": facts is None,
    }


def _note(row: dict[str, object]) -> str:
    notes = {
        "served": row["served"],
        "damaged": row["damaged"],
        "not released": row["released"] is False,
        "in the future, published by --force": row["forced"],
    }
    return ", ".join(note for note, holds in notes.items() if holds)


@snapshots.command()
def remove(
    name: Annotated[str, typer.Argument(help="Name of the snapshot, as clout snapshots list prints it.")],
    database: Database = None,
    home: HomeFolder = None,
) -> None:
    """Remove a snapshot, from the shared database as well: replicas drop it. The only one cannot be removed.

    Undoes `clout score --force` of an instant in the future, for example. The model and other snapshots stay.

    Example: clout snapshots remove 2017-07-30T000000Z_v3
    """
    from serving.cli.promotion import print_served
    from serving.cli.served_snapshot import find_champion_version
    from serving.snapshots.repository import remove_snapshot

    folder = existing_home(home, database=database)
    remove_snapshot(folder, name)
    print_message(f"The snapshot {name} is removed.")
    if champion := find_champion_version(folder):
        print_served(folder, champion)
