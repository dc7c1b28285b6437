"""The demo: simulate, train, score, explain, on one screen."""

from pathlib import Path

import pandas as pd

from features.console import print_message, print_table, progress_bar, progress_bars
from features.events.loading import load_encoded_events, load_events, resolve_as_of
from features.simulation import Community, simulate
from serving.cli.score_tables import ledger_table
from serving.scoring import score_users
from serving.snapshots.repository import open_snapshot, write_scores, write_snapshot
from training.cli_output import figures_table, tell_gate
from training.config import Config
from training.home import Home
from training.records.opt_outs import load_opted_out_users
from training.registry.model_registry import load_champion
from training.release.promotion import promote
from training.train import train

TOP = 10
FORCE = "a demonstration shows what was made, whatever the gate finds"
SHOWN = ["user", "score", "expected_audience", "low", "high", "evidence"]


def demo(home: Home, users: int, days: int, seed: int) -> None:
    """Make a community, train on it, score everybody, and show the top, one ledger, the figures and what to do next.

    Everything goes to a folder `demo` in the home, so that a real registry is not touched.
    """
    place = Home(home.folder / "demo")
    events = place.folder / "events.parquet"
    with progress_bar("simulate") as progress:
        simulate(Community(users=users, days=days, seed=seed), events, progress)
    people = load_events(events, excluded=load_opted_out_users(place))
    with progress_bars() as show:
        made = train(load_encoded_events(people), Config(), place, progress=show, events=people)
    tell_gate(made)
    if not made.promoted:
        promote(place, made.version, FORCE)
    scores = _score(place, events)
    _show_top(scores, made.evaluation["horizon_days"])
    ledger_table(open_snapshot(place, None).explain(scores["user"].iloc[0], "all"))
    figures_table(made.evaluation)
    _next(place.folder, scores["user"].iloc[1])


def _score(home: Home, events: Path) -> pd.DataFrame:
    """Score everybody just after the last event; return the scores, highest first."""
    acts = load_encoded_events(events, excluded=load_opted_out_users(home))
    as_of = resolve_as_of(acts.rows)
    bundle, version = load_champion(home)
    with progress_bars() as show:
        scores, rows = score_users(acts, as_of, bundle, version, show)
    write_scores(scores, home.folder / "scores.parquet")
    write_snapshot(home, as_of, bundle, version, scores, rows)
    return scores.sort_values(["score", "user"], ascending=[False, True])


def _show_top(scores: pd.DataFrame, horizon_days: int) -> None:
    rows = [
        [str(user), f"{score:.1f}", f"{expected:.1f}", f"{low} to {high}", str(evidence)]
        for user, score, expected, low, high, evidence in scores.head(TOP)[SHOWN].itertuples(index=False)
    ]
    columns = ["user", "score", f"expected audience, {horizon_days} days", "90 % interval", "evidence"]
    print_table(f"The ten most influential of {len(scores):,}", columns, rows)


def _next(folder: Path, user: str) -> None:
    print_message(f"\nEverything is in {folder}. Next:")
    print_message(f"  clout explain {user} --home {folder}")
    print_message(f"  clout serve --home {folder}")
    print_message("  clout import table --help     (your own activity)")
