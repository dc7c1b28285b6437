"""The commands that make events and features: simulate, import, features."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.errors import EventsError
from features.terminal import as_json, say, step, table, warn

if TYPE_CHECKING:
    from features.sources.door import Landing

Events = Annotated[Path, typer.Argument(help="Event table: a Parquet file, or a folder of Parquet files.")]
Out = Annotated[Path, typer.Option("--out", help="Where the events go: a .parquet file, or a folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document for machines.")]

sources = typer.Typer(no_args_is_help=True, help="Bring activity in from a source, as an event table.")


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


@sources.command("table")
def import_table(
    path: Annotated[Path, typer.Argument(help="CSV or TSV (plain or .gz), JSON Lines (plain or .gz) or Parquet.")],
    out: Out,
    map_: Annotated[list[str], typer.Option("--map", metavar="FIELD=COLUMN", help="A field called otherwise.")] = [],  # noqa: B006
    verb: Annotated[list[str], typer.Option("--verb", metavar="FOUND=MEANT", help="A verb called otherwise.")] = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Import any table of activity: one act a row.

    Fields are time, actor, verb and target (required), object, result, network, topics, content_hash and links. Times
    are ISO 8601, or epoch seconds, milli- or microseconds. Rows that fail go to OUT.rejects.csv with the reason.

    Example: clout import table acts.csv.gz --map time=created_utc --map actor=author --verb comment=reply --out events
    """
    from features.sources.table import import_table

    _tell(import_table(path, out, _pairs(map_, "--map"), _pairs(verb, "--verb")), json)


@sources.command("stackexchange")
def import_stackexchange(
    path: Annotated[Path, typer.Argument(help="Folder of a dump: Posts, Comments, Votes as .xml, .csv or .csv.gz.")],
    out: Out,
    json: Json = False,
) -> None:
    """Import a Stack Exchange data dump, of any size.

    Answers and comments are replies, up-votes likes and down-votes dislikes by unknown people. Totals at dump time
    (Score, ViewCount, Reputation) are never read.

    Example: clout import stackexchange travel.stackexchange.com/ --out travel
    """
    from features.sources.stackexchange import import_stackexchange

    with step("import") as progress:
        landing = import_stackexchange(path, out, progress)
    _tell(landing, json)


def features(
    events: Annotated[Path | None, typer.Argument(help="Event table: a Parquet file or a folder of them.")] = None,
    as_of: Annotated[str | None, typer.Option(help="Only events before this instant count (ISO 8601, UTC).")] = None,
    out: Annotated[Path | None, typer.Option(help="Where the feature table goes: .parquet.")] = None,
    describe: Annotated[bool, typer.Option("--describe", help="Print the catalogue of features instead.")] = False,
) -> None:
    """Compute the feature table: one row per user seen in the 365 days before an instant.

    Example: clout features community.parquet --as-of 2026-01-01 --out features.parquet
    """
    if describe:
        _describe()
        return
    if events is None or out is None:
        raise typer.BadParameter("EVENTS and --out are needed, or --describe alone.")
    _write_features(events, as_of, out)


def _write_features(events: Path, as_of: str | None, out: Path) -> None:
    from features.aside import aside
    from features.events import instant, open_events
    from features.table import checked_as_of, feature_table

    if out.suffix != ".parquet":
        raise EventsError(f"--out is {out}; expected a name that ends in .parquet.")
    opened = open_events(events)
    at = checked_as_of(opened, instant(as_of) if as_of else None)
    with step("features"), aside(out) as scratch:
        rows = feature_table(opened, at).to_pandas()
        rows.to_parquet(scratch / out.name, index=False)
        (scratch / out.name).replace(out)
    say(f"{len(rows):,} users, {rows.shape[1] - 2} features as of {at:%Y-%m-%d %H:%M:%S} UTC in {out}.")


def _describe() -> None:
    from features.catalogue import CATALOGUE

    rows = [[f.name, f.family, f.unit, f.direction, "yes" if f.actionable else "no", f.meaning] for f in CATALOGUE]
    table(f"{len(rows)} features", ["feature", "family", "unit", "direction", "actionable", "meaning"], rows, left=6)


def _pairs(given: list[str], option: str) -> dict[str, str]:
    pairs = {}
    for text in given:
        left, sign, right = text.partition("=")
        if not (left and sign and right):
            raise EventsError(f"{option} is {text!r}; expected two names with = between them, such as actor=author.")
        pairs[left] = right
    return pairs


def _tell(landing: "Landing", json: bool) -> None:
    if json:
        as_json(landing.as_dict())
        return
    say(f"{landing.read:,} rows read = {landing.accepted:,} accepted + {landing.rejected:,} rejected.")
    for reason, count in sorted(landing.reasons.items(), key=lambda item: -item[1])[:10]:
        say(f"  rejected {count:,}: {reason}")
    for note in landing.notes:
        warn(note)
    say(f"Events from {landing.first:%Y-%m-%d} to {landing.last:%Y-%m-%d} in {landing.out}.")
    if landing.rejects:
        say(f"Rejected rows and reasons in {landing.rejects}.")


def add_to(app: typer.Typer) -> None:
    """Give the commands of this layer to the application."""
    app.command()(simulate)
    app.add_typer(sources, name="import")
    app.command()(features)
