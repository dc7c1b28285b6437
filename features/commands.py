"""The commands that make events and features: simulate, import, store, features."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.errors import OutputError
from features.sources.commands import Out, sources
from features.terminal import Json, as_json, say, step, table

if TYPE_CHECKING:
    from features.acts import Acts
    from features.left_out import Ids

EVENTS_HELP = "Event table: a Parquet file, or a folder of Parquet files; or a store."
Events = Annotated[Path, typer.Argument(help=EVENTS_HELP)]
Scopes = Annotated[
    list[str] | None,
    typer.Option("--scope", help="all, network:NAME, topic:NAME, network:* or topic:*; may be given again."),
]
Identities = Annotated[
    Path | None, typer.Option(help="Table (.csv, .parquet) of account and person, for accounts that are one person.")
]


def simulate(
    out: Out,
    users: Annotated[int, typer.Option(help="How many people.")] = 20_000,
    days: Annotated[int, typer.Option(help="How many days.")] = 420,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
) -> None:
    """Make a community with known truth, of any size.

    Each person's true pull is written beside the events, in EVENTS.truth.parquet.

    Example: clout simulate --users 20000 --days 420 --seed 7 --out community.parquet
    """
    from features.simulation import Community, simulate

    with step("simulate") as progress:
        made = simulate(Community(users=users, days=days, seed=seed), out, progress)
    say(f"{made.events:,} events by {users:,} people in {out}; the truth about them is in {made.truth}.")


def store(
    events: Events,
    into: Annotated[Path, typer.Option("--into", help="Folder of the store; made if it is not there.")],
    scope: Scopes = None,
    identities: Identities = None,
    json: Json = False,
) -> None:
    """Take events into a store, from which features are computed without reading and keying the old ones again.

    Take in each day as it comes, in any order; late events are welcome. The scopes and identities of a store are given
    when it is made. A store stands for EVENTS in the other commands.

    Example: clout store today.parquet --into community.store
    """
    from features.identities import read_identities
    from features.store import read_manifest, take_in

    with step("store"):
        part = take_in(events, into, scope, read_identities(identities) if identities else None)
    if json:
        as_json(asdict(part))
        return
    held = sum(each.acts for each in read_manifest(into).parts)
    say(f"{part.acts:,} acts and {part.people:,} new people taken in; {held:,} acts are in {into}.")


def features(
    events: Annotated[Path | None, typer.Argument(help=EVENTS_HELP)] = None,
    as_of: Annotated[str | None, typer.Option(help="Only events before this instant count (ISO 8601, UTC).")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the feature table goes: .parquet.")] = None,
    scope: Scopes = None,
    identities: Identities = None,
    engine: Annotated[str, typer.Option(help="duckdb, spark, or the URL of a database.")] = "duckdb",
    describe: Annotated[bool, typer.Option("--describe", help="Print the catalogue of features instead.")] = False,
) -> None:
    """Compute the feature table: one row per user and scope seen in the 365 days before an instant.

    With the URL of a database, EVENTS may be the name of a table in it.

    Example: clout features community.parquet --as-of 2026-01-01 --out features.parquet
    """
    if describe:
        _describe()
        return
    if events is None or out is None:
        raise typer.BadParameter("EVENTS and --out are needed, or --describe alone.")
    if out.suffix != ".parquet":
        raise OutputError(f"--out is {out}; expected a name that ends in .parquet.")
    scopes = scope or ["all"]
    _write_features(open_as_asked(events, scopes, identities, engine), as_of, out, scopes)


def open_as_asked(
    events: Path,
    scopes: Sequence[str],
    identities: Path | None,
    engine: str = "duckdb",
    left_out: "Ids" = frozenset(),
) -> "Acts":
    """Open events, or a store, as the options of a command ask, without the people who are left out."""
    from features.engines import open_engine
    from features.identities import read_identities
    from features.opening import open_acts

    people = read_identities(identities) if identities else None
    return open_acts(events, scopes, people, open_engine(engine) if engine != "duckdb" else None, left_out)


def _write_features(acts: "Acts", as_of: str | None, out: Path, scopes: Sequence[str]) -> None:
    from features.aside import aside, replace
    from features.events import instant
    from features.opening import check_scopes, checked_as_of
    from features.table import feature_rows

    check_scopes(acts, scopes)
    at = checked_as_of(acts.rows, instant(as_of) if as_of else None)
    with step("features") as progress, aside(out) as scratch:
        rows = feature_rows(acts, at, progress)
        rows.to_parquet(scratch / out.name, index=False)
        replace(scratch / out.name, out, scratch)
    say(f"{len(rows):,} rows, {rows.shape[1] - 2} features as of {at:%Y-%m-%d %H:%M:%S} UTC in {out}.")


def _describe() -> None:
    from features.catalogue import CATALOGUE

    rows = [[f.name, f.family, f.unit, f.direction, f.can_act, f.meaning] for f in CATALOGUE]
    table(f"{len(rows)} features", ["feature", "family", "unit", "direction", "actionable", "meaning"], rows, left=6)


def add_to(app: typer.Typer) -> None:
    """Give the commands of this layer to the application."""
    app.command()(simulate)
    app.add_typer(sources, name="import")
    app.command()(store)
    app.command()(features)
