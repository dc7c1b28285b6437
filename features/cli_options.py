"""Options that commands of every layer share, and how these commands read events."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pandas as pd
    from ibis.expr.types import Table

    from features.events.encoding import EncodedEvents
    from features.events.exclusions import UserIdSet

# The panels of `clout --help`: commands are grouped by who uses them.
DATA, MODEL, REVIEW, SERVICE, PRIVACY = "Data", "Model", "Review", "Service", "Privacy"
CAMPAIGN = "Campaign"

EVENTS_HELP = "Event table: a Parquet file, or a folder of Parquet files; or a store."
Events = Annotated[Path, typer.Argument(help=EVENTS_HELP)]
Out = Annotated[Path, typer.Option("--out", help="Where the events go: a .parquet file, or a folder.")]
Scopes = Annotated[
    list[str] | None,
    typer.Option("--scope", help="all, network:NAME, topic:NAME, network:* or topic:*; may be repeated."),
]
Identities = Annotated[
    Path | None, typer.Option(help="Table (.csv, .parquet) of account and person, for users with several accounts.")
]
Engine = Annotated[
    str,
    typer.Option(
        help="duckdb, spark (its own settings name the master), or the URL of a database of which EVENTS is a table."
    ),
]
User = Annotated[str, typer.Argument(help="The user's id, as in the events.")]
Scope = Annotated[str, typer.Option(help="The scope of the score.")]
FirstInstant = Annotated[
    str | None, typer.Option("--from", help="The first instant to include; a date means its midnight. Default: all.")
]
LastInstant = Annotated[
    str | None, typer.Option("--to", help="The last instant to include; a date means its midnight. Default: all.")
]
SnapshotTime = Annotated[
    str | None, typer.Option("--as-of", help="Use the snapshot of this instant; default the served one.")
]
HomeFolder = Annotated[
    Path | None, typer.Option("--home", help="Folder of models and snapshots; default $CLOUT_HOME, else ./clout-home.")
]
Database = Annotated[
    str | None,
    typer.Option(
        help="URL of a PostgreSQL that replicas share; better set as CLOUT_DATABASE, which no process list shows."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document for machines.")]


def parse_instant(text: str | None) -> datetime | None:
    """Return the instant that an option holds, UTC; None if the option is absent."""
    from features.utc import parse_utc

    return None if text is None else parse_utc(text)


def encode_command_events(
    events: Path,
    scopes: Sequence[str],
    identities: Path | None,
    engine: str = "duckdb",
    excluded: "UserIdSet" = frozenset(),
) -> "EncodedEvents":
    """Read and encode the event table, or the store, that a command names, without the excluded users."""
    from features.events.engines import open_engine
    from features.events.loading import load_encoded_events

    backend = open_engine(engine) if engine != "duckdb" else None
    return load_encoded_events(events, scopes, read_command_identities(identities), backend, excluded)


def load_command_events(events: Path, identities: Path | None, excluded: "UserIdSet") -> "Table":
    """Read the event table that a command names, unencoded and without the excluded users."""
    from features.events.loading import load_events

    return load_events(events, read_command_identities(identities), None, excluded)


def read_command_identities(identities: Path | None) -> "pd.DataFrame | None":
    """Read the table of accounts and people that a command names, if any."""
    from features.events.identities import read_identities

    return read_identities(identities) if identities else None
