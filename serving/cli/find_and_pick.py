"""The commands of campaigns: find influential users, and the few who together are expected to reach the most people."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from features.cli_options import HomeFolder, Identities, Json, SnapshotTime, load_command_events, parse_instant
from features.console import print_json
from serving.cli.explain_and_review import import_model_libraries
from training.home import home_from_environment

if TYPE_CHECKING:
    from serving.selections.candidates import Candidates
    from serving.snapshots.snapshot import Snapshot
    from training.home import Home

Topic = Annotated[str | None, typer.Option(help="Only what is about this topic: the scope topic:NAME.")]
Network = Annotated[str | None, typer.Option(help="Only what happens in this network: the scope network:NAME.")]
TopicEvents = Annotated[
    Path | None,
    typer.Option(help="The events that were scored: answer for a topic or network that is no scope of the snapshot."),
]


def find(
    topic: Topic = None,
    network: Network = None,
    min_score: Annotated[float | None, typer.Option(help="The least score, in points, included.")] = None,
    min_percentile: Annotated[float | None, typer.Option(help="The least percentile in the scope, included.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Also the growth in points since the snapshot of this earlier instant.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many users a page holds.")] = 20,
    cursor: Annotated[str | None, typer.Option(help="The next_cursor of the page before.")] = None,
    as_of: SnapshotTime = None,
    home: HomeFolder = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print the page as CSV.")] = False,
    json: Json = False,
) -> None:
    """Find who is influential, about a topic or in a network, by score.

    Example: clout find --topic birds --min-score 50
    """
    if csv and json:
        raise typer.BadParameter("--csv and --json are two forms of the answer: choose one.")
    import_model_libraries()
    from serving.cli.selection_tables import print_csv, print_page
    from serving.cli.served_snapshot import open_served
    from serving.selections.candidates import scope_of
    from serving.selections.find import find_users
    from serving.snapshots.search import SearchQuery

    folder = home_from_environment(home)
    snapshot, _ = open_served(folder, parse_instant(as_of))
    query = SearchQuery(scope_of(topic, network), min_score=min_score, min_percentile=min_percentile)
    page = find_users(folder, snapshot, query, limit, cursor, parse_instant(since))
    if json:
        print_json(asdict(page))
    else:
        (print_csv if csv else print_page)(page)


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
    json: Json = False,
) -> None:
    """Pick the k users who together are expected to reach the most different people in the next horizon.

    Nobody is counted twice: who is reached by two of them counts once. The answer says how close the group is to the
    best possible one, and what the k highest scores, expected audiences and followers would reach instead.

    Example: clout pick --k 10 --topic birds
    """
    if identities is not None and events is None:
        raise typer.BadParameter("--identities maps the accounts in the events to people: give --events too.")
    import_model_libraries()
    from serving.cli.selection_tables import print_selection
    from serving.cli.served_snapshot import open_served
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
    folder = home_from_environment(home)
    snapshot, _ = open_served(folder, parse_instant(as_of))
    by_network = max_per_network is not None
    selection = select(_candidates(folder, snapshot, topic, network, events, identities, by_network), request)
    print_json(asdict(selection)) if json else print_selection(selection)


def _candidates(
    home: "Home",
    snapshot: "Snapshot",
    topic: str | None,
    network: str | None,
    events: Path | None,
    identities: Path | None,
    by_network: bool,
) -> "Candidates":
    """Return the candidates of a topic or a network, from the snapshot or from events."""
    from features.errors import ScopeError
    from serving.selections.candidates import scope_of, snapshot_candidates
    from serving.selections.event_candidates import event_candidates
    from training.records.opt_outs import load_opted_out_users

    if events is None:
        scope = scope_of(topic, network)
        try:
            return snapshot_candidates(snapshot, scope)
        except ScopeError as error:
            raise ScopeError(f"{error} Give the events with --events, or score with --scope {scope}.") from error
    table = load_command_events(events, identities, load_opted_out_users(home))
    if topic and network:
        table, network = table.filter(table.network == network), None
    return event_candidates(table, snapshot, scope_of(topic, network), by_network)
