"""Resistance: what each attack gains an ordinary member, in points, under the score and under every baseline."""

from collections.abc import Callable
from datetime import datetime

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features.acts import acts as keyed
from features.acts import kept
from features.errors import TooSmallError
from features.events import CREATIONS, open_events
from features.opening import checked_as_of
from features.scopes import ALL
from features.table import feature_rows
from training.attacks import ATTACKS, Attack, Scene
from training.baselines import BASELINES, baselines
from training.bundle import Bundle

SCORING = "scoring"
SCORE = "score"
LATELY, SILENT, OLD = 28, 90, 180
LEAST_MEMBERS = 20


def attack_suite(
    events: ir.Table,
    bundle: Bundle,
    as_of: datetime | None = None,
    members: int = 30,
    seed: int = 0,
    progress: Callable[[str, float], None] = lambda *_: None,
) -> dict:
    """Put each attack into a community just before an instant, for all members at once, and score it anew.

    The model is not trained again: this is what an attack gains at scoring time. Fake accounts are each member's own,
    so that members hardly help each other. A baseline speaks in points as well: the score of the honest user who has
    the same rank by score as the member has by the baseline, among honest users.

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
    JSON values: `as_of`; `median_active`, the points of the median user who acted in the last 28 days; `attacks`, a
    dict for each of ATTACKS: `attack`, `told`, `mode`, `members`, the `accounts` that act in one attack, the `acts` for
    each member, `gain_median`, `gain_p95`, `end_score_median`, `gain_per_1000_acts`, `limit`, `held`, and `baselines`,
    name -> median gain; and `limits_held`

    Raises
    ------
    TooSmallError : fewer than 20 ordinary members
    AsOfError : nothing happened before the instant, or it lies in the future

    """
    at = checked_as_of(events, as_of)
    honest, rows = _points(events, bundle, at)
    active = (rows["days_since_last_act"] < LATELY).to_numpy()
    rng = np.random.default_rng(seed)
    chosen = _ordinary(honest[SCORE].to_numpy(), active, members, rng)
    scene = _scene(events, rows, at, rng)
    median_active = float(honest.loc[active, SCORE].median())
    found = []
    for attack in ATTACKS:
        progress(attack.name, 0.0)
        found.append(_measured(attack, events, bundle, scene, honest, chosen, median_active))
        progress(attack.name, 1.0)
    held = all(each["held"] for each in found)
    return {"as_of": at.isoformat(), "median_active": median_active, "attacks": found, "limits_held": held}


def _points(
    events: ir.Table, bundle: Bundle, as_of: datetime, honest: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return everybody's points under the score and each baseline, by user, and the feature rows.

    Baselines are ranked among `honest` users and given the points that stand at that rank among honest scores.
    """
    with kept(keyed(events, (ALL,))) as known:
        rows = feature_rows(known, as_of).set_index("user", drop=False)
        signals = baselines(known, rows.reset_index(drop=True), as_of).set_axis(rows.index)
    score = bundle.predict(rows)[SCORE]
    users = rows.index if honest is None else honest.index
    scale = np.sort((score if honest is None else honest[SCORE]).to_numpy())
    points = {name: _at_rank(signals[name], signals.loc[users, name].to_numpy(), scale) for name in BASELINES}
    return pd.DataFrame({SCORE: score, **points}, index=rows.index), rows


def _at_rank(signal: pd.Series, among: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the points at each signal's rank, ties at their middle."""
    ranked = np.sort(among)
    rank = (np.searchsorted(ranked, signal, "left") + np.searchsorted(ranked, signal, "right")) / 2
    return np.interp(rank / len(ranked), (np.arange(len(scale)) + 0.5) / len(scale), scale)


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


def _scene(events: ir.Table, rows: pd.DataFrame, as_of: datetime, rng: np.random.Generator) -> Scene:
    stars = rows["user"][rows["engagers_365d"] >= rows["engagers_365d"].quantile(0.99)]
    since = pd.Timestamp(as_of) - pd.Timedelta(days=LATELY)
    lately = events.filter(events.time < as_of, events.time >= since.to_pydatetime(), events.verb.isin(CREATIONS))
    made = lately.select("actor", object=ibis.coalesce(lately.result, lately.object)).to_pandas()
    pieces = made[made["actor"].isin(stars)].dropna(subset="actor").sort_values(["actor", "object"], ignore_index=True)
    dormant = rows["user"][(rows["days_since_last_act"] > SILENT) & (rows["account_age_days"] > OLD)]
    return Scene(as_of, rows["user"].to_numpy(object), dormant.to_numpy(object), pieces, rng)


def _measured(
    attack: Attack,
    events: ir.Table,
    bundle: Bundle,
    scene: Scene,
    honest: pd.DataFrame,
    chosen: np.ndarray,
    median_active: float,
) -> dict:
    names = list(honest.index[chosen[: len(chosen) // attack.group * attack.group]])
    groups = [names[k : k + attack.group] for k in range(0, len(names), attack.group)]
    done = [attack.make(group, scene) for group in groups]
    made = open_events(pd.concat(done, ignore_index=True), events.get_backend())
    attacked, _ = _points(events.union(made), bundle, scene.as_of, honest)
    gains = attacked.loc[names] - honest.loc[names]
    gain, end = float(gains[SCORE].median()), float(attacked.loc[names, SCORE].median())
    acts_each = sum(map(len, done)) / len(names)
    held = gain <= attack.limit and not (attack.bot and end > median_active)
    return {
        "attack": attack.name,
        "told": attack.told,
        "mode": SCORING,
        "members": len(names),
        "accounts": round(float(np.mean([each["actor"].nunique() for each in done]))),
        "acts": round(acts_each),
        "gain_median": gain,
        "gain_p95": float(gains[SCORE].quantile(0.95)),
        "end_score_median": end,
        "gain_per_1000_acts": 1_000 * gain / acts_each if acts_each else None,
        "limit": attack.limit,
        "held": bool(held),
        "baselines": {name: float(gains[name].median()) for name in BASELINES},
    }
