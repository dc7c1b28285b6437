"""The demo: simulate, train, score, explain, on one screen."""

from pathlib import Path

import pandas as pd

from features.console import say, step, steps, table
from features.events.loading import checked_as_of, open_acts, open_people
from features.simulation import Community, simulate
from serving.cli.score_tables import ledger_table
from serving.scoring import score_acts
from serving.snapshots.repository import open_snapshot, write_scores, write_snapshot
from training.cli_output import figures_table, tell_gate
from training.config import Config
from training.home import Home
from training.records.opt_outs import left_out
from training.registry.model_registry import required_champion
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
    with step("simulate") as progress:
        simulate(Community(users=users, days=days, seed=seed), events, progress)
    people = open_people(events, left_out=left_out(place))
    with steps() as show:
        made = train(open_acts(people), Config(), place, progress=show, events=people)
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
    acts = open_acts(events, left_out=left_out(home))
    as_of = checked_as_of(acts.rows)
    bundle, version = required_champion(home)
    with steps() as show:
        scores, rows = score_acts(acts, as_of, bundle, version, show)
    write_scores(scores, home.folder / "scores.parquet")
    write_snapshot(home, as_of, bundle, version, scores, rows)
    return scores.sort_values(["score", "user"], ascending=[False, True])


def _show_top(scores: pd.DataFrame, horizon_days: int) -> None:
    rows = [
        [str(user), f"{score:.1f}", f"{expected:.1f}", f"{low} to {high}", str(evidence)]
        for user, score, expected, low, high, evidence in scores.head(TOP)[SHOWN].itertuples(index=False)
    ]
    columns = ["user", "score", f"expected audience, {horizon_days} days", "90 % interval", "evidence"]
    table(f"The ten most influential of {len(scores):,}", columns, rows)


def _next(folder: Path, user: str) -> None:
    say(f"\nEverything is in {folder}. Next:")
    say(f"  clout explain {user} --home {folder}")
    say(f"  clout serve --home {folder}")
    say("  clout import table --help     (your own activity)")
