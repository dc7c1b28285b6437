"""Poisoning: attackers that are in the community while the model is trained, and so may have bought its label."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce
from itertools import islice

import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features.errors import TooSmallError
from features.events.encoding import cached, encode_events
from features.events.event_table import open_events, time_range
from features.events.loading import resolve_as_of
from features.events.scopes import ALL
from features.progress import Progress, StepProgress, ignore_progress, of_step
from training.config import Config
from training.dataset.panel import Split, build_panel, in_scope, present_rows, rows_at, split_cutoffs
from training.evaluation.baselines import best_baseline
from training.evaluation.metrics import auc
from training.fit import fit
from training.model.bounded_term import fit_boosters
from training.model.bundle import Bundle
from training.model.feature_sets import panel_features
from training.robustness.alliances import with_alliances
from training.robustness.attack_report import SCORING, TRAINING, Attackers, AttackReport, HonestAuc
from training.robustness.attack_suite import AttackSetting, attack_suite, run_suite
from training.robustness.attacks import ATTACKS, Attack, describe_users, make_attack_context

AUC_LIMIT = 0.01
MIN_ACCOUNTS = 2
BOTH = "both"


@dataclass(frozen=True)
class Gang:
    """Attackers that work as one group: an attack, the members it is for, and the accounts they recruited."""

    attack: Attack
    members: Sequence[str]
    recruited: np.ndarray

    @property
    def accounts(self) -> set[str]:
        """All accounts of the gang."""
        return {*self.members, *self.recruited}


def poisoned_suite(
    events: ir.Table,
    bundle: Bundle,
    as_of: datetime | None = None,
    members: int = 30,
    seed: int = 0,
    progress: StepProgress = ignore_progress,
    share: float = 0.01,
) -> AttackReport:
    """Train the bundle's recipe among attackers, and measure what other, honest members gain by attacking the result.

    The same gangs attack just before every cutoff of the training panel and just before the instant, so that their
    events affect both features and labels. The model is fitted with the bundle's configuration and scale.

    Parameters
    ----------
    events, bundle, as_of, members, seed, progress : as for `attack_suite`
    share : of the accounts of the last year, how many are attackers'; at least two accounts per attack

    Returns
    -------
    in mode TRAINING, with `attackers` and `honest_auc`

    Raises
    ------
    TooSmallError : the community is too small or too young to train on, or fewer than 20 ordinary members are honest
    AsOfError : nothing happened in the horizon before the instant, or it lies in the future

    """
    at = resolve_as_of(events, as_of)
    config = Config.model_validate(bundle.facts["config"])
    days, scopes = config.outcome.horizon_days, config.panel.scopes
    split = split_cutoffs(time_range(events)[0], at, days, config.panel.cutoffs)
    best = best_baseline(encode_events(events, (ALL,)), at, days)
    gangs = recruit_gangs(events, at, share, np.random.default_rng(seed))

    def panel_of(table: ir.Table, step: str) -> pd.DataFrame:
        encoded = encode_events(table, scopes).with_seeds(bundle.seeds)
        return build_panel(encoded, split, days, of_step(progress, step), bundle.label, panel_features())

    clean = panel_of(events, "clean panel")
    instants, rng = (*split.cutoffs, at), np.random.default_rng(seed)
    added = poison(events, gangs, instants, rng, of_step(progress, "attackers"))
    accounts = frozenset().union(*(gang.accounts for gang in gangs))
    with events.union(*added).cache() as poisoned:
        panel = panel_of(poisoned, "poisoned panel")
        progress("fit", 0.0)
        quality = honest_auc(clean, panel, split, config, accounts)
        with cached(encode_events(poisoned, (ALL,)).with_seeds(bundle.seeds)) as encoded:
            present = present_rows(encoded, split, days)
            model = fit(panel, split, config, bundle.scale, present)
            progress("fit", 1.0)
            del clean, panel
            setting = AttackSetting(poisoned, encoded, model, at, best, TRAINING, accounts)
            report = run_suite(setting, members, seed + 1, progress)
        count = int(poisoned.count().to_pyarrow().as_py() - events.count().to_pyarrow().as_py())
    attackers = Attackers(len(accounts), len(accounts) / len(describe_users(events, at)), count)
    return replace(report, attackers=attackers, honest_auc=quality)


def recruit_gangs(events: ir.Table, as_of: datetime, share: float, rng: np.random.Generator) -> list[Gang]:
    """Turn a share of the accounts of the last year into attackers, about as many for each of ATTACKS.

    Members are drawn from users that acted in that year. An attack that has too few accounts is made smaller: its gang
    recruits fewer accounts, a pod has fewer members. An attack that has too many is carried out by several gangs.

    Raises
    ------
    TooSmallError : fewer users acted than are needed as members

    """
    users = describe_users(events, as_of)
    accounts = max(round(share * len(users)), MIN_ACCOUNTS * len(ATTACKS))
    sizes = [accounts // len(ATTACKS) + (k < accounts % len(ATTACKS)) for k in range(len(ATTACKS))]
    acting = users.index[np.isfinite(users["silent_days"])].to_numpy(object)
    if len(acting) < accounts:
        raise TooSmallError(
            f"{len(acting)} users acted in the year before {as_of:%Y-%m-%d}; {accounts} accounts are needed as "
            "attackers. Bring a larger community."
        )
    shuffled = rng.permutation(acting)
    context = make_attack_context(events, users, as_of, shuffled[:accounts], rng)
    free, gangs = iter(shuffled[:accounts]), []
    for attack, size in zip(ATTACKS, sizes, strict=True):
        for part in _split_evenly(size, attack.group + attack.accounts):
            members = list(islice(free, min(attack.group, part)))
            gangs.append(Gang(attack, members, attack.recruit(members, context, part - len(members))))
    return gangs


def _split_evenly(size: int, most: int) -> Iterator[int]:
    """Split `size` accounts into the fewest gangs of nearly equal size with at most `most` accounts."""
    count = -(-size // most)
    yield from (size // count + (k < size % count) for k in range(count))


def poison(
    events: ir.Table,
    gangs: Sequence[Gang],
    instants: Sequence[datetime],
    rng: np.random.Generator,
    progress: Progress = ignore_progress,
) -> list[ir.Table]:
    """Return the events of all gangs just before each of the instants, one table each, in the engine of `events`."""
    attackers = set().union(*(gang.accounts for gang in gangs))
    tables: list[ir.Table] = []
    for at in instants:
        context = make_attack_context(events, describe_users(events, at), at, attackers, rng)
        parts = [gang.attack.make_events(gang.members, gang.recruited, context) for gang in gangs]
        tables.append(open_events(pd.concat(parts, ignore_index=True), events.get_backend()))
        progress(len(tables) / len(instants))
    return tables


def honest_auc(
    clean: pd.DataFrame, poisoned: pd.DataFrame, split: Split, config: Config, attackers: frozenset[str]
) -> HonestAuc:
    """Fit the recipe on both panels without the newest cutoff, and measure AUC over honest users after it.

    Features come from each panel's own community; the audience is the clean panel's for both.
    """
    truth = in_scope(rows_at(clean, split.newest), ALL).set_index("user")["audience"]
    honest = truth[~truth.index.isin(attackers)]

    def auc_of(panel: pd.DataFrame) -> float:
        boosters = fit_boosters(rows_at(panel, *split.older), config.model)
        margin = boosters.margins(in_scope(rows_at(panel, split.newest), ALL).set_index("user").loc[honest.index])
        return auc(honest.to_numpy(), margin, margin)

    return HonestAuc(auc_of(clean), auc_of(poisoned), AUC_LIMIT)


SUITES: dict[str, tuple[Callable[..., AttackReport], ...]] = {
    SCORING: (attack_suite,),
    TRAINING: (poisoned_suite,),
    BOTH: (attack_suite, poisoned_suite),
}


def run_attacks(
    mode: str,
    events: ir.Table,
    bundle: Bundle,
    as_of: datetime | None = None,
    members: int = 30,
    seed: int = 0,
    progress: StepProgress = ignore_progress,
) -> AttackReport:
    """Attack in one mode, or in both as one report, where `median_active` is that of mode SCORING; then ally.

    Parameters
    ----------
    mode : one of SUITES
    events, bundle, as_of, members, seed, progress : as for `attack_suite`; the seed is also that of the alliances

    """
    reports = [suite(events, bundle, as_of, members, seed, progress) for suite in SUITES[mode]]
    return with_alliances(reduce(AttackReport.followed_by, reports), events, bundle, seed)
