"""Poisoning: attackers who are in the community while the model is trained, so that they may have bought its label."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features.errors import TooSmallError
from features.events.encoding import encode_events as keyed
from features.events.event_table import open_events, time_range
from features.events.loading import resolve_as_of
from features.events.scopes import ALL
from training.config import Config
from training.dataset.panel import Split, build_panel, in_scope, rows_at, split_cutoffs
from training.evaluation.baselines import best_baseline
from training.evaluation.metrics import auc
from training.fit import fit
from training.model.booster import fit_booster, margins
from training.model.bundle import Bundle
from training.robustness.attack_context import make_attack_context, seen
from training.robustness.attack_suite import SCORING, TRAINING, AttackSetting, Progress, attack_suite, measure
from training.robustness.attacks import ATTACKS, Attack

AUC_LIMIT = 0.01
LEAST_ACCOUNTS = 2
BOTH = "both"


@dataclass(frozen=True)
class Gang:
    """Attackers who work together: an attack, the members whom it is for, and the accounts they hire."""

    attack: Attack
    members: Sequence[str]
    hired: np.ndarray

    @property
    def accounts(self) -> set[str]:
        """Everybody in it."""
        return {*self.members, *self.hired}


def poisoned_suite(
    events: ir.Table,
    bundle: Bundle,
    as_of: datetime | None = None,
    members: int = 30,
    seed: int = 0,
    progress: Progress = lambda *_: None,
    share: float = 0.01,
) -> dict:
    """Train the bundle's recipe among attackers, and measure what other, honest members gain by attacking the result.

    The same gangs attack just before every cutoff of the training panel and just before the instant, so that their acts
    stand in features and in outcomes alike. The model is fitted with the bundle's configuration and scale.

    Parameters
    ----------
    events, bundle, as_of, members, seed, progress : as for `resistance.attack_suite`
    share : of the accounts seen in the last year, how many are attackers'; two accounts for each attack at least

    Returns
    -------
    as `resistance.attack_suite`, in mode `training`, with `attackers`: their `accounts` and `share` and the `events`
    they bring; and `honest_auc`, as from `honest_auc`, which `limits_held` includes

    Raises
    ------
    TooSmallError : the community is too small or too young to train on, or fewer than 20 ordinary members are honest
    AsOfError : nothing happened in the horizon before the instant, or it lies in the future

    """
    at = resolve_as_of(events, as_of)
    config = Config.model_validate(bundle.facts["config"])
    days, scopes = config.outcome.horizon_days, config.panel.scopes
    split = split_cutoffs(time_range(events)[0], at, days, config.panel.cutoffs)
    best = best_baseline(keyed(events, (ALL,)), at, days)
    gangs = recruit(events, at, share, np.random.default_rng(seed))

    def panel_of(table: ir.Table, step: str) -> pd.DataFrame:
        acts = keyed(table, scopes).with_seeds(bundle.seeds)
        return build_panel(acts, split, days, _of(progress, step), bundle.label)

    clean = panel_of(events, "clean panel")
    made = poison(events, gangs, (*split.cutoffs, at), np.random.default_rng(seed), _of(progress, "attackers"))
    attackers = frozenset().union(*(gang.accounts for gang in gangs))
    with events.union(*made).cache() as poisoned:
        panel = panel_of(poisoned, "poisoned panel")
        progress("fit", 0.0)
        quality = honest_auc(clean, panel, split, config, attackers)
        model = fit(panel, split, config, bundle.scale)
        progress("fit", 1.0)
        del clean, panel
        found = measure(AttackSetting(poisoned, model, at, best, TRAINING, attackers), members, seed + 1, progress)
        brought = int(poisoned.count().to_pyarrow().as_py() - events.count().to_pyarrow().as_py())
    told = {"accounts": len(attackers), "share": len(attackers) / len(seen(events, at)), "events": brought}
    report = {"as_of": at.isoformat(), "best_baseline": best, **found, "attackers": told, "honest_auc": quality}
    return report | {"limits_held": found["limits_held"] and quality["held"]}


def recruit(events: ir.Table, as_of: datetime, share: float, rng: np.random.Generator) -> list[Gang]:
    """Turn a share of the accounts of the last year into attackers, about as many for each of ATTACKS.

    Members are drawn from those who acted in that year. An attack for which its accounts are too few is made smaller: a
    gang hires fewer accounts, a pod has fewer members. One for which they are too many is made by several gangs.

    Raises
    ------
    TooSmallError : fewer people acted than are needed as members

    """
    people = seen(events, as_of)
    accounts = max(round(share * len(people)), LEAST_ACCOUNTS * len(ATTACKS))
    sizes = [accounts // len(ATTACKS) + (k < accounts % len(ATTACKS)) for k in range(len(ATTACKS))]
    acting = people.index[np.isfinite(people["silent"])].to_numpy(object)
    if len(acting) < accounts:
        raise TooSmallError(
            f"{len(acting)} people acted in the year before {as_of:%Y-%m-%d}; {accounts} accounts are to be attackers. "
            "Bring a larger community."
        )
    drawn = rng.permutation(acting)
    scene = make_attack_context(events, people, as_of, drawn[:accounts], rng)
    free, gangs = iter(drawn[:accounts]), []
    for attack, size in zip(ATTACKS, sizes, strict=True):
        for part in _parts(size, attack.group + attack.hires):
            members = list(islice(free, min(attack.group, part)))
            gangs.append(Gang(attack, members, attack.hired(members, scene, part - len(members))))
    return gangs


def _parts(size: int, most: int) -> Iterator[int]:
    """Split so many accounts into as few gangs of about one size as hold `most` each."""
    count = -(-size // most)
    yield from (size // count + (k < size % count) for k in range(count))


def poison(
    events: ir.Table,
    gangs: Sequence[Gang],
    instants: Sequence[datetime],
    rng: np.random.Generator,
    progress: Callable[[float], None] = lambda _: None,
) -> list[ir.Table]:
    """Return what all gangs do just before each of the instants, as a table for each in the events' own engine."""
    attackers = set().union(*(gang.accounts for gang in gangs))
    made: list[ir.Table] = []
    for at in instants:
        scene = make_attack_context(events, seen(events, at), at, attackers, rng)
        acts = pd.concat([gang.attack.make(gang.members, gang.hired, scene) for gang in gangs], ignore_index=True)
        made.append(open_events(acts, events.get_backend()))
        progress(len(made) / len(instants))
    return made


def _of(progress: Progress, step: str) -> Callable[[float], None]:
    return lambda share: progress(step, share)


def honest_auc(
    clean: pd.DataFrame, poisoned: pd.DataFrame, split: Split, config: Config, attackers: frozenset[str]
) -> dict:
    """Judge both panels' recipes, fitted without the newest cutoff, on the honest users' honest audience after it.

    The features are those of each one's own community; the audience is the clean one's for both.

    Returns
    -------
    `clean` and `poisoned` AUC, how much it may fall (`limit`), and whether that is `held`

    """
    truth = in_scope(rows_at(clean, split.newest), ALL).set_index("user")["audience"]
    honest = truth[~truth.index.isin(attackers)]
    found = {}
    for name, panel in {"clean": clean, "poisoned": poisoned}.items():
        booster = fit_booster(rows_at(panel, *split.older), config.model)
        margin = margins(booster, in_scope(rows_at(panel, split.newest), ALL).set_index("user").loc[honest.index])
        found[name] = auc(honest.to_numpy(), margin, margin)
    return found | {"limit": AUC_LIMIT, "held": bool(found["clean"] - found["poisoned"] <= AUC_LIMIT)}


SUITES = {SCORING: (attack_suite,), TRAINING: (poisoned_suite,), BOTH: (attack_suite, poisoned_suite)}


def run_attacks(mode: str, events: ir.Table, bundle: Bundle, *asked: Any) -> dict:
    """Attack in one mode, or in both as one report, of which `median_active` is that of mode `scoring`.

    Parameters
    ----------
    mode : one of SUITES
    events, bundle, asked : as for `resistance.attack_suite`

    """
    found = [suite(events, bundle, *asked) for suite in SUITES[mode]]
    attacks = [each for report in found for each in report["attacks"]]
    return found[-1] | found[0] | {"attacks": attacks, "limits_held": all(report["limits_held"] for report in found)}
