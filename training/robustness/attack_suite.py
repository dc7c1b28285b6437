"""The attack suite: the points each attack gains an ordinary member, under the score and under every baseline."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features.errors import TooSmallError
from features.events.encoding import EncodedEvents, cached, cached_with, encode_events
from features.events.event_table import open_events
from features.events.loading import resolve_as_of
from features.events.scopes import ALL
from features.feature_table import feature_rows
from features.progress import StepProgress, ignore_progress
from training.evaluation.baselines import BASELINES, baselines, best_baseline
from training.model.bundle import Bundle
from training.model.feature_sets import comparison_features
from training.robustness.attack_report import (
    SCORING,
    TRAINING,
    AttackReport,
    AttackResult,
    Omission,
    in_words,
    low_median,
)
from training.robustness.attacks import (
    ATTACKS,
    DORMANT_DAYS,
    FAKE,
    RECENT_DAYS,
    Attack,
    AttackContext,
    describe_users,
    is_active,
    make_attack_context,
    present_users,
)

SCORE = "score"
LIMIT_FACTOR = {SCORING: 1, TRAINING: 2}
MIN_MEMBERS = 20
SHARE_OF_BASELINE = 1 / 3
NOBODY_DORMANT = f"no old account was silent for {DORMANT_DAYS} days, so there is none to buy"
MIN_BASELINE_GAIN = 1.0


@dataclass(frozen=True)
class AttackSetting:
    """A community at an instant and the model that is attacked in it.

    Parameters
    ----------
    events : from `open_events`
    encoded : the same events in scope `all`, cached, with the seeds of the bundle
    bundle : the model
    as_of : the instant
    best : the baseline that ranks honest users best
    mode : SCORING, no earlier attackers; TRAINING, the model learnt among the attackers in `poisoners`
    poisoners : accounts that attacked before; they do not take part, and points are ranked without them

    """

    events: ir.Table
    encoded: EncodedEvents
    bundle: Bundle
    as_of: datetime
    best: str
    mode: str = SCORING
    poisoners: Collection[str] = field(default_factory=frozenset)


def score_users(
    setting: AttackSetting, attacked: EncodedEvents | None = None, before: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return the points of all users but poisoners under the score and each baseline, by user.

    A baseline's points are the score that has the same rank. Ranks and scores are those of `before`, if given.
    `attacked` are the events with those of an attack, cached; None stands for the events of the setting.
    """
    events = attacked or setting.encoded
    rows = feature_rows(events, setting.as_of, features=comparison_features(setting.bundle.features))
    signals = baselines(events, rows, setting.as_of)
    honest = ~rows["user"].isin(setting.poisoners).to_numpy()
    rows, signals = rows[honest].set_index("user", drop=False), signals[honest].set_axis(rows["user"][honest])
    score = setting.bundle.predict(rows)[SCORE]
    users = rows.index if before is None else before.index
    scale = np.sort((score if before is None else before[SCORE]).to_numpy())
    points = {name: points_at_rank(signals[name], signals.loc[users, name].to_numpy(), scale) for name in BASELINES}
    return pd.DataFrame({SCORE: score, **points}, index=rows.index)


def points_at_rank(signal: pd.Series, among: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the points on the sorted `scale` at each signal's rank `among` others; ties get their middle rank."""
    ranked = np.sort(among)
    rank = (np.searchsorted(ranked, signal, "left") + np.searchsorted(ranked, signal, "right")) / 2
    points: np.ndarray = np.interp(rank / len(ranked), (np.arange(len(scale)) + 0.5) / len(scale), scale)
    return points


def attack_suite(
    events: ir.Table,
    bundle: Bundle,
    as_of: datetime | None = None,
    members: int = 30,
    seed: int = 0,
    progress: StepProgress = ignore_progress,
    attacks: Sequence[Attack] | None = None,
) -> AttackReport:
    """Run each attack in a community just before an instant, for all members at once, and score the result.

    The model is not trained again: this is the gain at scoring time; `poisoning.poisoned_suite` measures the gain from
    a model that learnt among attackers. Each member recruits accounts of its own, so that members hardly help each
    other. Baselines are compared in points: a member gets the score of the honest user that has the same rank by score
    as the member has by the baseline, among honest users.

    Parameters
    ----------
    events : from `open_events`
    bundle : the model
    as_of : the instant; None is just after the last event
    members : how many ordinary members attack, at most: users in the middle half by score of those that acted in the
        last 28 days and are not absent, from `present_users`
    seed : of the choice of members and of times
    progress : called with an attack's name and the share of it that is done
    attacks : what is tried; None is ATTACKS

    Raises
    ------
    TooSmallError : fewer than 20 ordinary members
    AsOfError : nothing happened in the horizon before the instant, or it lies in the future

    """
    at = resolve_as_of(events, as_of)
    with cached(encode_events(events, (ALL,)).with_seeds(bundle.seeds)) as encoded:
        best = best_baseline(encoded, at, bundle.horizon_days)
        return run_suite(AttackSetting(events, encoded, bundle, at, best), members, seed, progress, attacks)


def run_suite(
    setting: AttackSetting, members: int, seed: int, progress: StepProgress, attacks: Sequence[Attack] | None = None
) -> AttackReport:
    """Run every attack in one setting.

    An attack is within its limit if the median member gains at most the limit (twice that in mode TRAINING) and at most
    a third of what the best baseline gains (ignored where that is less than a point), and if, for a bot, a new account
    that does nothing else does not end above the median active user. Attacks for which there is no account to buy are
    left out.
    """
    before = score_users(setting)
    users = describe_users(setting.events, setting.as_of)
    active = before.index.isin(users.index[is_active(users)])
    rng = np.random.default_rng(seed)
    present = before.index.isin(present_users(users))
    chosen = list(before.index[choose_members(before[SCORE].to_numpy(), active, present, members, rng)])
    context = make_attack_context(setting.events, users, setting.as_of, {*chosen, *setting.poisoners}, rng)
    median_active = float(before.loc[active, SCORE].median())
    results, omissions = [], []
    for attack in ATTACKS if attacks is None else attacks:
        if attack.accounts and not attack.available_accounts(context):
            omissions.append(Omission(attack.name, in_words(attack.name), "attack", NOBODY_DORMANT))
            continue
        step = attack.name if setting.mode == SCORING else f"{attack.name}, poisoned"
        progress(step, 0.0)
        results.append(run_attack(attack, setting, context, before, chosen, median_active))
        progress(step, 1.0)
    return AttackReport(setting.as_of, setting.best, median_active, tuple(results), omissions=tuple(omissions))


def choose_members(
    score: np.ndarray, active: np.ndarray, present: np.ndarray, members: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw positions of users in the middle half of active ones by score, of those who are `present`."""
    low, high = np.quantile(score[active], [0.25, 0.75]) if active.any() else (0.0, 0.0)
    middle = np.flatnonzero(active & present & (score >= low) & (score <= high))
    if len(middle) < MIN_MEMBERS:
        raise TooSmallError(
            f"{len(middle)} ordinary members acted in the {RECENT_DAYS} days before and are neither new nor absent; "
            f"{MIN_MEMBERS} are needed to attack. Bring a larger community."
        )
    return rng.choice(middle, min(members, len(middle)), replace=False)


def in_whole_groups(attack: Attack, chosen: list[str]) -> list[str]:
    """Return the members that take part; a remainder smaller than the attack's group does not."""
    return chosen[: len(chosen) // attack.group * attack.group]


def group_events(attack: Attack, names: list[str], context: AttackContext) -> list[pd.DataFrame]:
    """Return the events of an attack for each group of these members, each with accounts of its own."""
    groups = [names[k : k + attack.group] for k in range(0, len(names), attack.group)]
    return [attack.make_events(group, attack.recruit(group, context), context) for group in groups]


def run_attack(
    attack: Attack,
    setting: AttackSetting,
    context: AttackContext,
    before: pd.DataFrame,
    chosen: list[str],
    median_active: float,
) -> AttackResult:
    """Add one attack's events for all chosen members, score everybody again and return what the members gain.

    Parameters
    ----------
    attack, setting, context : what is done, where, and what attackers know
    before : points before the attack, from `score_users`
    chosen : the members; a remainder smaller than the attack's group takes no part
    median_active : points of the median active user before the attack

    """
    names = in_whole_groups(attack, chosen)
    parts = group_events(attack, names, context)
    bots = [f"{FAKE} from nowhere {k}" for k in range(attack.group)] if attack.bot else []
    bot_parts = [attack.make_events(bots, attack.recruit(bots, context), context)] if bots else []
    added = open_events(pd.concat([*parts, *bot_parts], ignore_index=True), setting.events.get_backend())
    with cached_with(setting.encoded, encode_events(added, (ALL,))) as attacked:
        after = score_users(setting, attacked, before)
    gains, end = after.loc[names] - before.loc[names], float(after.loc[bots or names, SCORE].median())
    own = [rows[~rows["provoked"]] for rows in parts]
    acts, medians = sum(map(len, own)) / len(names), {str(name): float(gains[name].median()) for name in gains}
    per_1000 = {name: 1_000 * gain / acts if acts else None for name, gain in medians.items()}
    accounts, missing = _mean_accounts(own), attack.accounts - attack.available_accounts(context)
    check = _check_limits(attack, setting, medians, end, median_active)
    return AttackResult(
        attack=attack.name,
        description=attack.description,
        mode=setting.mode,
        members=len(names),
        accounts=accounts,
        acts=round(acts),
        gain_median=medians.pop(SCORE),
        gain_p95=float(gains[SCORE].quantile(0.95)),
        gain_low=low_median(gains[SCORE].to_numpy(float)),
        end_score_median=end,
        gain_per_1000_acts=per_1000.pop(SCORE),
        baselines=medians,
        baselines_per_1000_acts=per_1000,
        accounts_intended=accounts + missing if missing else None,
        **check._asdict(),
    )


def _mean_accounts(parts: list[pd.DataFrame]) -> int:
    return round(float(np.mean([rows["actor"].nunique() for rows in parts])))


class _LimitCheck(NamedTuple):
    """The last four fields of an AttackResult."""

    limit: float
    of_best_baseline: float | None
    allowed: float
    within_limit: bool


def _check_limits(
    attack: Attack, setting: AttackSetting, medians: dict[str, float], end: float, median_active: float
) -> _LimitCheck:
    """Compare the median gains with the limit, a third of the best baseline's and, for a bot, the median user."""
    gain, baseline_gain = medians[SCORE], medians[setting.best]
    limit = attack.limit * LIMIT_FACTOR[setting.mode]
    comparable = baseline_gain >= MIN_BASELINE_GAIN
    allowed = min(limit, baseline_gain * SHARE_OF_BASELINE) if comparable else limit
    above = attack.bot and end > median_active
    ratio = gain / baseline_gain if comparable else None
    return _LimitCheck(limit, ratio, allowed, bool(gain <= allowed and not above))
