"""The commands of campaigns: find influential users, and the few who together are expected to reach the most people."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from features.cli_options import HomeFolder, Identities, Json, SnapshotTime, load_command_events, parse_instant
from features.console import print_json
from serving.cli.explain_and_review import import_model_libraries
from training.home import existing_home

if TYPE_CHECKING:
    from ibis.expr.types import Table

    from serving.snapshots.snapshot import Snapshot
    from training.home import Home

Topic = Annotated[str | None, typer.Option(help="Only what is about this topic: the scope topic:NAME.")]
Network = Annotated[str | None, typer.Option(help="Only what happens in this network: the scope network:NAME.")]
TopicEvents = Annotated[
    Path | None,
    typer.Option(help="The events that were scored: answer for a topic or network that the snapshot does not score."),
]

# The options of `find`.
Contains = Annotated[str | None, typer.Option(help="Only ids with this in them, in any case.")]
MinEvidence = Annotated[
    Literal["some", "strong"] | None, typer.Option(help="The lowest evidence; some is enough for a score.")
]
MinScore = Annotated[float | None, typer.Option(help="The lowest score, in points, inclusive.")]
MinPercentile = Annotated[float | None, typer.Option(help="The lowest percentile in the scope, inclusive.")]
MinPeerPercentile = Annotated[float | None, typer.Option(help="The lowest percentile among peers, inclusive.")]
MinGrowth = Annotated[float | None, typer.Option(help="The lowest growth since the earlier snapshot, in points.")]
MinPeople = Annotated[
    float | None,
    typer.Option(help="The lowest number of people who engaged in a year; peers have about as many."),
]
MaxPeople = Annotated[float | None, typer.Option(help="The highest number of people who engaged in these days.")]
MinCredibility = Annotated[
    float | None,
    typer.Option(help="The lowest share of these people whom established ones vouch for, in percent."),
]
SortBy = Annotated[
    Literal["score", "growth", "expected_audience", "peer_percentile"] | None,
    typer.Option(help="What comes first: the highest of this; default score."),
]
Since = Annotated[
    str | None,
    typer.Option(help="Also the growth since the snapshot of this instant; default for growth the one before."),
]
Limit = Annotated[int, typer.Option(min=1, max=1_000, help="How many users a page holds.")]
NextCursor = Annotated[str | None, typer.Option(help="The next_cursor of the page before.")]


def find(
    topic: Topic = None,
    network: Network = None,
    contains: Contains = None,
    evidence: MinEvidence = None,
    min_score: MinScore = None,
    min_percentile: MinPercentile = None,
    min_peer_percentile: MinPeerPercentile = None,
    min_growth: MinGrowth = None,
    min_people: MinPeople = None,
    max_people: MaxPeople = None,
    min_credibility: MinCredibility = None,
    sort: SortBy = None,
    since: Since = None,
    limit: Limit = 20,
    cursor: NextCursor = None,
    events: TopicEvents = None,
    identities: Identities = None,
    as_of: SnapshotTime = None,
    home: HomeFolder = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print the page as CSV.")] = False,
    json: Json = False,
) -> None:
    """Find who is influential, about a topic or in a network, by score, growth, evidence and credibility.

    Example: clout find --topic birds --min-score 50
    """
    parameters = {
        "contains": contains,
        "evidence": evidence,
        "min_score": min_score,
        "min_percentile": min_percentile,
        "min_peer_percentile": min_peer_percentile,
        "min_growth": min_growth,
        "min_people": min_people,
        "max_people": max_people,
        "min_credibility": min_credibility,
        "sort": sort,
    }
    _check_forms(csv, json)
    import_model_libraries()
    from serving.cli.selection_tables import page_document, print_csv, print_page
    from serving.cli.served_snapshot import open_served
    from serving.selections.find import find_users, start_search
    from serving.snapshots.repository import open_earlier

    folder = existing_home(home)
    source = _ScopeSource(folder, topic, network, events, identities)
    parameters["scope"] = source.scope if topic or network else None
    present = {name: value for name, value in parameters.items() if value is not None}
    start = start_search(present, parse_instant(as_of), parse_instant(since), cursor)
    served, champion = open_served(folder, start.as_of, start.model_version)
    before = open_earlier(folder, served, start.since, champion) if start.needs_earlier else None
    query = start.user_filter
    with _add_what_to_do(folder, query.bounds.scope, events):
        snapshot, before = source.snapshot(served), None if before is None else source.snapshot(before)
        page = find_users(snapshot, query, limit, start.last, before)
    document = page_document(page, snapshot, query, before)
    if json:
        print_json(document)
    else:
        (print_csv if csv else print_page)(document)


def pick(
    k: Annotated[int, typer.Option("--k", help="How many users.")] = 10,
    topic: Topic = None,
    network: Network = None,
    budget: Annotated[float | None, typer.Option(help="With --cost: the most that the group may cost.")] = None,
    cost: Annotated[Path | None, typer.Option(help="Table (.csv, .parquet) of user and cost.")] = None,
    include: Annotated[
        Path | None, typer.Option(help="Users who must be in the group: ids, one per line, or a .csv with user.")
    ] = None,
    exclude: Annotated[Path | None, typer.Option(help="Users who must not be in the group, as for --include.")] = None,
    max_per_network: Annotated[int | None, typer.Option(help="The most users of one network.")] = None,
    count: Annotated[
        Literal["credible", "everybody"],
        typer.Option(
            help="Who counts as reached: people as far as established ones vouch for them, or everybody alike."
        ),
    ] = "credible",
    events: TopicEvents = None,
    identities: Identities = None,
    as_of: SnapshotTime = None,
    home: HomeFolder = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print the group as CSV.")] = False,
    json: Json = False,
) -> None:
    """Pick the k users who together are expected to reach the most different people in the next horizon.

    Nobody is counted twice: who is reached by two of them counts once. The answer says how close the group is to the
    best possible one, and what the k highest scores, expected audiences and followers would reach instead.

    Example: clout pick --k 10 --topic birds
    """
    _check_forms(csv, json)
    import_model_libraries()
    from serving.cli.selection_tables import print_selection, print_selection_csv
    from serving.cli.served_snapshot import open_served
    from serving.selections.candidates import snapshot_candidates
    from serving.selections.select import SelectionRequest, select
    from serving.selections.user_files import read_costs, read_users

    request = SelectionRequest(
        k=k,
        count=count,
        include=read_users(include) if include else (),
        exclude=read_users(exclude) if exclude else (),
        cost=read_costs(cost) if cost else None,
        budget=budget,
        max_per_network=max_per_network,
    )
    folder = existing_home(home)
    source = _ScopeSource(folder, topic, network, events, identities)
    snapshot, _ = open_served(folder, parse_instant(as_of))
    with _add_what_to_do(folder, source.scope, events):
        candidates = snapshot_candidates(source.snapshot(snapshot, max_per_network is not None), source.scope)
    selection = select(candidates, request)
    for path, named in ((include, request.include), (exclude, request.exclude)):
        if path and not named:
            selection.notes.insert(0, f"{path} names no users.")
    if json:
        print_json(asdict(selection))
    else:
        (print_selection_csv if csv else print_selection)(selection)


def _check_forms(csv: bool, json: bool) -> None:
    if csv and json:
        raise typer.BadParameter("--csv and --json are two forms of the answer: choose one.")


class _ScopeSource:
    """Where the scores of a topic or a network come from: the snapshot, or the events."""

    def __init__(
        self, home: "Home", topic: str | None, network: str | None, events: Path | None, identities: Path | None
    ):
        from serving.selections.candidates import scope_of

        if identities is not None and events is None:
            raise typer.BadParameter("--identities maps the accounts in the events to people: give --events too.")
        if topic and network and events is None:
            raise typer.BadParameter(
                "a topic and a network are two scopes: name one of them. With --events, both may be named."
            )
        self._home, self._events, self._identities = home, events, identities
        self._network = network if events is not None and topic else None
        self.scope = scope_of(topic, None if self._network else network)

    def snapshot(self, snapshot: "Snapshot", by_network: bool = False) -> "Snapshot":
        """Return a snapshot, or one of the same instant and model from the events."""
        from serving.selections.event_snapshot import event_snapshot

        return snapshot if self._events is None else event_snapshot(self._table, snapshot, self.scope, by_network)

    @cached_property
    def _table(self) -> "Table":
        from training.records.opt_outs import load_opted_out_users

        table = load_command_events(cast("Path", self._events), self._identities, load_opted_out_users(self._home))
        return table if self._network is None else table.filter(table.network == self._network)


@contextmanager
def _add_what_to_do(home: "Home", scope: str, events: Path | None) -> Iterator[None]:
    """Add to the refusal of a scope that the snapshot lacks how to get it."""
    from features.errors import ScopeError

    try:
        yield
    except ScopeError as error:
        if events is not None:
            raise
        command = home.command(f"score EVENTS --scope all --scope {shlex.quote(scope)}")
        raise ScopeError(f"{error} Score it first: {command}. Or answer from the events: --events EVENTS.") from error
