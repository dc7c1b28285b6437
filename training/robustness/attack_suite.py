"""The ground of attacks: a community at an instant, the model that is attacked in it, and everybody's points there.

Resistance: what each attack gains an ordinary member, in points, under the score and under every baseline.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime

import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features.errors import TooSmallError
from features.events.encoding import cached
from features.events.encoding import encode_events as keyed
from features.events.event_table import open_events
from features.events.loading import resolve_as_of
from features.events.scopes import ALL
from features.feature_table import feature_rows
from training.evaluation.baselines import BASELINES, baselines, best_baseline
from training.model.bundle import Bundle
from training.robustness.attack_context import LATELY, make_attack_context, seen
from training.robustness.attacks import ATTACKS, FAKE, Attack, AttackContext

SCORING, TRAINING = "scoring", "training"
SCORE = "score"


@dataclass(frozen=True)
class AttackSetting:
    """A community at an instant and the model that is attacked in it.

    Parameters
    ----------
    events : from `open_events`
    bundle : the model
    as_of : the instant
    best : the baseline that ranks honest users best
    mode : how the attackers of `poisoners` came in: SCORING, there are none; TRAINING, the model learnt among them
    poisoners : accounts that attacked before; they take no part, and nobody's points are ranked among theirs

    """

    events: ir.Table
    bundle: Bundle
    as_of: datetime
    best: str
    mode: str = SCORING
    poisoners: Collection[str] = field(default_factory=frozenset)


def points(ground: AttackSetting, events: ir.Table | None = None, before: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the points of all but poisoners under the score and each baseline, by user.

    Baselines are ranked among the users `before` and given the points that stand at that rank among scores then.
    """
    acts = keyed(ground.events if events is None else events, (ALL,))
    with cached(acts.with_seeds(ground.bundle.seeds)) as known:
        rows = feature_rows(known, ground.as_of)
        signals = baselines(known, rows, ground.as_of)
    honest = ~rows["user"].isin(ground.poisoners).to_numpy()
    rows, signals = rows[honest].set_index("user", drop=False), signals[honest].set_axis(rows["user"][honest])
    score = ground.bundle.predict(rows)[SCORE]
    users = rows.index if before is None else before.index
    scale = np.sort((score if before is None else before[SCORE]).to_numpy())
    given = {name: at_rank(signals[name], signals.loc[users, name].to_numpy(), scale) for name in BASELINES}
    return pd.DataFrame({SCORE: score, **given}, index=rows.index)


def at_rank(signal: pd.Series, among: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the points at each signal's rank, ties at their middle."""
    ranked = np.sort(among)
    rank = (np.searchsorted(ranked, signal, "left") + np.searchsorted(ranked, signal, "right")) / 2
    return np.interp(rank / len(ranked), (np.arange(len(scale)) + 0.5) / len(scale), scale)


FACTOR = {SCORING: 1, TRAINING: 2}
LEAST_MEMBERS = 20
SHARE_OF_BASELINE = 1 / 3
LEAST_GIVEN = 1.0
Progress = Callable[[str, float], None]


def attack_suite(
    events: ir.Table,
    bundle: Bundle,
    as_of: datetime | None = None,
    members: int = 30,
    seed: int = 0,
    progress: Progress = lambda *_: None,
) -> dict:
    """Put each attack into a community just before an instant, for all members at once, and score it anew.

    The model is not trained again: this is what an attack gains at scoring time; `poisoning.poisoned_suite` measures
    what it gains from a model that learnt among attackers. Hired accounts are each member's own, so that members hardly
    help each other. A baseline speaks in points as well: the score of the honest user who has the same rank by score as
    the member has by the baseline, among honest users.

    Parameters
    ----------
    events : from `open_events`
    bundle : the model
    as_of : the instant; None is just after the last event
    members : how many ordinary members attack: they acted in the last 28 days and stand in the middle half by score
        of those who did
    seed : of who attacks, and when
    progress : called with an attack's name and the share of it that is done

    Returns
    -------
    JSON values: `as_of`; `best_baseline`, the name of the one that ranks honest users best; and what `measure` returns

    Raises
    ------
    TooSmallError : fewer than 20 ordinary members
    AsOfError : nothing happened in the horizon before the instant, or it lies in the future

    """
    at = resolve_as_of(events, as_of)
    best = best_baseline(keyed(events, (ALL,)), at, bundle.horizon_days)
    found = measure(AttackSetting(events, bundle, at, best), members, seed, progress)
    return {"as_of": at.isoformat(), "best_baseline": best, **found}


def measure(ground: AttackSetting, members: int, seed: int, progress: Progress) -> dict:
    """Try every attack on one ground.

    An attack is held where the median member gains at most its limit (twice that where the model learnt among
    attackers); at most a third of what the best baseline gives away, unless that is less than a point: then the limit
    alone counts; and, as a bot, where a new account that does nothing else does not end above the median active user.

    Returns
    -------
    JSON values: `median_active`, the points of the median user who acted in the last 28 days; `limits_held`; and
    `attacks`, a dict for each of ATTACKS: `attack`, `told`, `mode`, `members`, the `accounts` that act in one attack
    and the `acts` they do for each member (what they move others to do is not counted), `gain_median`, `gain_p95`,
    `end_score_median` (of a bot: the new account's), `gain_per_1000_acts`, `limit`, `of_best_baseline` (the gain over
    the best baseline's, None where that gives less than a point), `allowed` (the largest gain that is held), `held`,
    and `baselines` and `baselines_per_1000_acts`, name -> median gain

    """
    before = points(ground)
    people = seen(ground.events, ground.as_of)
    active = before.index.isin(people.index[people["silent"] < LATELY])
    rng = np.random.default_rng(seed)
    chosen = list(before.index[_ordinary(before[SCORE].to_numpy(), active, members, rng)])
    scene = make_attack_context(ground.events, people, ground.as_of, {*chosen, *ground.poisoners}, rng)
    median_active = float(before.loc[active, SCORE].median())
    found = []
    for attack in ATTACKS:
        name = attack.name if ground.mode == SCORING else f"{attack.name}, poisoned"
        progress(name, 0.0)
        found.append(_tried(attack, ground, scene, before, chosen, median_active))
        progress(name, 1.0)
    return {"median_active": median_active, "attacks": found, "limits_held": all(each["held"] for each in found)}


def _ordinary(score: np.ndarray, active: np.ndarray, members: int, rng: np.random.Generator) -> np.ndarray:
    """Draw places of active users in the middle half by score."""
    low, high = np.quantile(score[active], [0.25, 0.75]) if active.any() else (0.0, 0.0)
    middle = np.flatnonzero(active & (score >= low) & (score <= high))
    if len(middle) < max(members, LEAST_MEMBERS):
        raise TooSmallError(
            f"{len(middle)} ordinary members acted in the {LATELY} days before; {max(members, LEAST_MEMBERS)} are "
            "needed to attack. Bring a larger community or ask for fewer --members."
        )
    return rng.choice(middle, members, replace=False)


def _tried(
    attack: Attack,
    ground: AttackSetting,
    scene: AttackContext,
    before: pd.DataFrame,
    chosen: list[str],
    median_active: float,
) -> dict:
    names = chosen[: len(chosen) // attack.group * attack.group]
    groups = [names[k : k + attack.group] for k in range(0, len(names), attack.group)]
    done = [attack.make(group, attack.hired(group, scene), scene) for group in groups]
    new = [f"{FAKE} from nowhere {k}" for k in range(attack.group)] if attack.bot else []
    pure = [attack.make(new, attack.hired(new, scene), scene)] if new else []
    made = open_events(pd.concat([*done, *pure], ignore_index=True), ground.events.get_backend())
    after = points(ground, ground.events.union(made), before)
    gains, end = after.loc[names] - before.loc[names], float(after.loc[new or names, SCORE].median())
    own = [acts[~acts["drawn"]] for acts in done]
    return {
        "attack": attack.name,
        "told": attack.told,
        "mode": ground.mode,
        "members": len(names),
        "accounts": round(float(np.mean([acts["actor"].nunique() for acts in own]))),
        **_figures(gains, sum(map(len, own)) / len(names), end),
        **_judged(attack, ground, gains.median(), end, median_active),
    }


def _figures(gains: pd.DataFrame, acts: float, end: float) -> dict:
    """Tell what members gained for so many acts each."""
    medians = {name: float(gains[name].median()) for name in gains}
    per_1000 = {name: 1_000 * gain / acts if acts else None for name, gain in medians.items()}
    return {
        "acts": round(acts),
        "gain_median": medians.pop(SCORE),
        "gain_p95": float(gains[SCORE].quantile(0.95)),
        "end_score_median": end,
        "gain_per_1000_acts": per_1000.pop(SCORE),
        "baselines": medians,
        "baselines_per_1000_acts": per_1000,
    }


def _judged(attack: Attack, ground: AttackSetting, medians: pd.Series, end: float, median_active: float) -> dict:
    """Hold the median gains against the limit, a third of the best baseline's and, for a bot, the median user."""
    gain, given = float(medians[SCORE]), float(medians[ground.best])
    limit = attack.limit * FACTOR[ground.mode]
    gives = given >= LEAST_GIVEN
    allowed = min(limit, given * SHARE_OF_BASELINE) if gives else limit
    above = attack.bot and end > median_active
    return {
        "limit": limit,
        "of_best_baseline": gain / given if gives else None,
        "allowed": allowed,
        "held": bool(gain <= allowed and not above),
    }
