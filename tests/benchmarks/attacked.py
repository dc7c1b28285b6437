"""Set up a community that benchmarks attack repeatedly at one instant."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features.events.encoding import EncodedEvents, cached, cached_with, encode_events
from features.events.event_table import open_events
from features.events.scopes import ALL
from features.feature_table import feature_rows
from features.simulation.community import Community
from features.simulation.simulate import simulate
from features.utc import parse_utc
from training.model.bundle import Bundle
from training.robustness.attack_suite import choose_members, group_events, in_whole_groups
from training.robustness.attacks import (
    Attack,
    AttackContext,
    describe_users,
    is_active,
    make_attack_context,
    present_users,
)

SIMULATED = Community(users=1_500, days=420, seed=7)


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options common to all benchmarks that attack a community."""
    args = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("events", nargs="?", type=Path, help="default: a small simulated community")
    args.add_argument("--as-of", type=parse_utc)
    args.add_argument("--horizon-days", type=int, default=28)
    args.add_argument("--members", type=int, default=20)
    return args


@contextmanager
def events_or_simulation(events: Path | None) -> Iterator[Path]:
    """Yield the path of the events, or of a small simulated community that is deleted afterwards."""
    if events is not None:
        yield events
        return
    with TemporaryDirectory() as folder:
        yield simulate(SIMULATED, Path(folder) / "events.parquet").files[0]


@dataclass(frozen=True)
class AttackedCommunity:
    """A community at one instant, to be attacked.

    Parameters
    ----------
    events, encoded : from `open_events`; the same in scope `all`, cached
    as_of : the instant
    users : from `describe_users`
    members : the users who attack
    context : what attackers know
    features : the names of the model's features
    before : feature rows of the members without any attack, indexed by user

    """

    events: ir.Table
    encoded: EncodedEvents
    as_of: datetime
    users: pd.DataFrame
    members: list[str]
    context: AttackContext
    features: Sequence[str]
    before: pd.DataFrame

    def rows_after(self, attack: Attack, context: AttackContext | None = None) -> tuple[pd.DataFrame, int, int]:
        """Return the attacking members' rows, indexed by user, and the numbers of accounts and events per member."""
        names = in_whole_groups(attack, self.members)
        parts = group_events(attack, names, context or self.context)
        added = open_events(pd.concat(parts, ignore_index=True), self.events.get_backend())
        with cached_with(self.encoded, encode_events(added, (ALL,))) as attacked:
            rows = feature_rows(attacked, self.as_of, features=list(self.features)).set_index("user").loc[names]
        own = [part[~part["provoked"]] for part in parts]
        accounts = np.mean([part["actor"].nunique() for part in own])
        return rows, round(accounts), round(sum(map(len, own)) / len(names))


@contextmanager
def attacked_community(
    events: ir.Table, bundle: Bundle, as_of: datetime, members: int, seed: int = 0
) -> Iterator[AttackedCommunity]:
    """Choose members and compute their rows before any attack; arguments as for `attack_suite`."""
    rng, features = np.random.default_rng(seed), list(bundle.features)
    with cached(encode_events(events, (ALL,)).with_seeds(bundle.seeds)) as encoded:
        rows = feature_rows(encoded, as_of, features=features).set_index("user")
        users = describe_users(events, as_of)
        active = rows.index.isin(users.index[is_active(users)])
        present = rows.index.isin(present_users(users))
        score = bundle.predict(rows)["score"].to_numpy()
        chosen = list(rows.index[choose_members(score, active, present, members, rng)])
        context = make_attack_context(events, users, as_of, chosen, rng)
        yield AttackedCommunity(events, encoded, as_of, users, chosen, context, features, rows.loc[chosen])
