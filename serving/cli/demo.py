"""The demo: simulate a community, train, score and explain, on one screen."""

import shlex
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from features.console import print_commands, print_table, progress_bar, progress_bars
from features.events.encoding import instant_literal
from features.events.loading import load_encoded_events, load_events, resolve_as_of
from features.feature_table import KEYS
from features.simulation import Community, simulate
from serving.cli.score_tables import print_explanation
from serving.cli.served_snapshot import open_served
from serving.scoring import score_audiences, score_users
from serving.snapshots.repository import publish_snapshot, write_scores
from serving.snapshots.scored_rows import ScoredRows
from training.cli_output import figures_table, print_gate
from training.config import Config
from training.home import Home
from training.records.opt_outs import load_opted_out_users
from training.registry.model_registry import find_champion, load_champion
from training.release.promotion import promote
from training.release.release_candidate import release
from training.selection.pairs import read_pairs
from training.train import train

HORIZONS_AFTER_TRAINING = 3
COLUMNS = ["user", "score", "expected_audience", "low", "high", "evidence"]


def demo(home: Home, users: int, days: int, seed: int) -> None:
    """Simulate a community, train on it and score it; print the top users, one ledger, the figures and the next steps.

    The model is trained on events up to three horizons before the last one and scores four instants, so that its
    earlier predictions can be compared with what happened.

    Everything goes to a folder `demo` in the home, so that the demo never touches a real registry.
    """
    home = Home(home.folder / "demo")
    events = home.folder / "events.parquet"
    with progress_bar("simulate") as progress:
        simulate(Community(users=users, days=days, seed=seed), events, progress)
    config = Config()
    instants = _instants(events, timedelta(days=config.outcome.horizon_days))
    table = load_events(events, excluded=load_opted_out_users(home))
    table = table.filter(table.time < instant_literal(instants[0]))
    with progress_bars() as steps:
        champion = find_champion(home, check_catalogue=False)
        candidate = train(load_encoded_events(table), config, champion, progress=steps)
        result = release(candidate, home, table, progress=steps)
    print_gate(result, home)
    if not result.promoted:
        promote(home, result.version, "the demo shows its model whatever the gate finds")
    scores = _score(home, events, instants)
    _print_top(scores, result.evaluation.horizon_days)
    (snapshot, _), top = open_served(home), scores["user"].iloc[0]
    print_explanation(snapshot.explain(top))
    figures_table(result.evaluation)
    print_next(home, events, scores["user"].iloc[1], top)


def print_next(home: Home, events: Path, user: str, top: str) -> None:
    """Print the next commands to try; `top` is the user whose page to open."""
    commands = {
        home.command(f"explain {shlex.quote(user)}"): "",
        home.command(f"serve --events {shlex.quote(str(events))}"): (
            f"then open http://127.0.0.1:8000/u/{quote(top, safe='')}"
        ),
        "clout import table --help": "your own activity",
    }
    print_commands(f"\nEverything is in {home.folder}. Next:", commands)


def _instants(events: Path, horizon: timedelta) -> list[datetime]:
    """Return when to score, one horizon apart: from the end of the training events to just after the last event."""
    last = resolve_as_of(load_events(events))
    return [last - k * horizon for k in reversed(range(HORIZONS_AFTER_TRAINING + 1))]


def _score(home: Home, events: Path, instants: list[datetime]) -> pd.DataFrame:
    """Score every user at each instant; return the last scores, highest first."""
    encoded = load_encoded_events(events, excluded=load_opted_out_users(home))
    bundle, version = load_champion(home)
    with progress_bars() as steps:
        for as_of in instants:
            scores, rows = score_users(encoded, as_of, bundle, version, steps)
            scored = ScoredRows.of_frames(scores, rows)
            if as_of == instants[-1]:
                scored = replace(scored, pairs=read_pairs(encoded.with_seeds(bundle.seeds), as_of, rows[KEYS]))
            audiences = score_audiences(bundle, scored)
            publish_snapshot(home, as_of, bundle, version, scored, audiences)
    write_scores(scores, home.folder / "scores.parquet")
    return scores.sort_values(["score", "user"], ascending=[False, True])


def _print_top(scores: pd.DataFrame, horizon_days: int) -> None:
    rows = [
        [str(user), f"{score:.1f}", f"{expected:.1f}", f"{low} to {high}", str(evidence)]
        for user, score, expected, low, high, evidence in scores.head(10)[COLUMNS].itertuples(index=False)
    ]
    columns = ["user", "score", f"expected audience, {horizon_days} days", "90 % interval", "evidence"]
    print_table(f"The ten most influential of {len(scores):,}", columns, rows)
