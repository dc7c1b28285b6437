"""Evaluation: compare the score with every baseline, and a challenger with the champion, on the same users."""

import math
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from features.errors import CatalogueError
from features.events.encoding import EncodedEvents
from features.events.event_table import time_range
from features.events.loading import resolve_as_of
from features.events.scopes import ALL
from features.feature_table import require_users
from training.config import Config
from training.dataset.labels import require_complete_horizon
from training.dataset.panel import in_scope, panel_rows
from training.evaluation.baselines import BASELINES, baselines
from training.evaluation.metrics import METRICS, RANKING, SignalPair, bootstrap_interval, ranking
from training.evaluation.report_types import (
    Band,
    BaselineLead,
    ChampionComparison,
    ChampionLead,
    EvaluationReport,
    Metrics,
    NotMeasured,
    SignalComparison,
)
from training.model.bundle import Bundle, Champion, check_catalogue
from training.model.feature_sets import comparison_features

BAND_EDGES = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, np.inf)


def evaluate_bundle(
    events: EncodedEvents, bundle: Bundle, as_of: datetime | None = None, resamples: int = 200, seed: int = 0
) -> EvaluationReport:
    """Compare a bundle with the baselines on one horizon, scope `all`.

    Parameters
    ----------
    events : from `load_encoded_events`
    bundle : the model
    as_of : the start of the horizon; None takes the newest complete one
    resamples, seed : of the bootstrap over users

    Returns
    -------
    the comparison; if it is `in_sample`, the bundle was trained on these outcomes, and the figures prove nothing

    Raises
    ------
    AsOfError : the horizon is not complete, or nothing happened in the 365 days before it
    EventsError : a file of the events changed while it was read

    """
    with events.files.unchanged():
        _, last = time_range(events.rows)
        horizon = timedelta(days=bundle.horizon_days)
        as_of = resolve_as_of(events.rows, as_of or resolve_as_of(events.rows) - horizon)
        require_complete_horizon(last, as_of, bundle.horizon_days)
        seeded, features = events.with_seeds(bundle.seeds), comparison_features(bundle.features)
        rows = in_scope(panel_rows(seeded, as_of, bundle.horizon_days, bundle.label, features), ALL)
        require_users(len(rows), events, as_of)
        signals = baselines(events, rows, as_of)
    level = bundle.intervals.level
    comparison = evaluate(rows["audience"].to_numpy(), bundle.predict(rows), level, signals, resamples, seed)
    return EvaluationReport(
        **vars(comparison),
        as_of=as_of.isoformat(),
        horizon_days=bundle.horizon_days,
        in_sample=as_of < datetime.fromisoformat(bundle.facts["as_of"]),
    )


def evaluate(
    audience: np.ndarray, predicted: pd.DataFrame, level: float, signals: pd.DataFrame, resamples: int, seed: int
) -> SignalComparison:
    """Compare the score with every baseline on the same users.

    Parameters
    ----------
    audience : realised audience, people, shape (users,)
    predicted : columns unclipped (points), expected_audience, low, high (people)
    level : the share of users that the intervals should cover
    signals : one column per baseline
    resamples, seed : of the bootstrap over users

    """
    audience = audience.astype(float)
    pairs = {"score": signal_pair(predicted)} | {name: (signals[name].to_numpy(float),) * 2 for name in BASELINES}
    metrics: Metrics = {name: {**ranking(audience, *pair)} for name, pair in pairs.items()}
    metrics["score"] |= calibration_figures(audience, predicted, level)
    margins = {key: _baseline_lead(key, audience, pairs, resamples, seed) for key in RANKING}
    return SignalComparison(
        users=len(audience), metrics=metrics, margins=margins, bands=bands(audience, predicted, level)
    )


def signal_pair(predicted: pd.DataFrame) -> SignalPair:
    """Return the unclipped score and the expected audience of a prediction."""
    return predicted["unclipped"].to_numpy(float), predicted["expected_audience"].to_numpy(float)


def calibration_figures(audience: np.ndarray, predicted: pd.DataFrame, level: float) -> dict[str, float | None]:
    """Measure how well expected audiences and intervals fit the realised audience.

    Returns
    -------
    `total`, expected over real audience (1: unbiased; a real total of zero counts as one person), `coverage`, the
    share of users whose audience lies in [low, high], `coverage_expected_1`, the same among those with an expected
    audience of at least one person (None where there are none), and `interval_score`, the mean of `interval_scores`

    """
    large = predicted["expected_audience"].to_numpy(float) >= 1
    return {
        "total": expected_over_real(audience, predicted),
        "coverage": coverage(audience, predicted),
        "coverage_expected_1": coverage(audience[large], predicted[large]) if large.any() else None,
        "interval_score": float(interval_scores(audience, predicted, level).mean()),
    }


def expected_over_real(audience: np.ndarray, predicted: pd.DataFrame) -> float:
    """Return the expected over the real total audience; a real total of zero counts as one person."""
    return float(predicted["expected_audience"].to_numpy(float).sum()) / max(float(audience.sum()), 1.0)


def coverage(audience: np.ndarray, predicted: pd.DataFrame) -> float:
    """Return the share of users whose audience lies in [low, high]."""
    inside = (audience >= predicted["low"].to_numpy()) & (audience <= predicted["high"].to_numpy())
    return float(inside.mean())


def interval_scores(audience: np.ndarray, predicted: pd.DataFrame, level: float) -> np.ndarray:
    """Return the interval score of each user, people, shape (users,): lower is better.

    It is the width of the interval and, where the audience lies outside, `2 / (1 - level)` times the distance to it.
    Source: Winkler 1972; it is lowest on average where the ends are the quantiles `(1 - level) / 2` and
    `(1 + level) / 2` (Gneiting and Raftery 2007).
    """
    low, high = predicted["low"].to_numpy(float), predicted["high"].to_numpy(float)
    outside = np.maximum(low - audience, 0.0) + np.maximum(audience - high, 0.0)
    return np.asarray(high - low + 2 / (1 - level) * outside)


def bands(audience: np.ndarray, predicted: pd.DataFrame, level: float) -> tuple[Band, ...]:
    """Describe users by band of expected audience: how many, their means, and how their intervals fit."""
    frame = predicted.assign(audience=audience)
    frame["covered"] = (audience >= frame["low"]) & (audience <= frame["high"])
    frame["width"] = frame["high"] - frame["low"]
    frame["interval_score"] = interval_scores(audience, predicted, level)
    band = np.digitize(frame["expected_audience"], BAND_EDGES[1:-1])
    grouped = frame.groupby(band)[["expected_audience", "audience", "covered", "width", "interval_score"]]
    uppers = (*BAND_EDGES[1:-1], None)
    rows = grouped.mean().assign(users=grouped.size()).itertuples()
    return tuple(Band(BAND_EDGES[k], uppers[k], users, *means) for k, *means, users in rows)


def band_name(low: float, high: float | None) -> str:
    """Name a band of expected audience by its edges in people; without a finite upper edge it is `and more`."""
    return f"{low:g} and more" if high is None or math.isinf(high) else f"{low:g} to {high:g}"


def _baseline_lead(
    metric: str, audience: np.ndarray, pairs: dict[str, SignalPair], resamples: int, seed: int
) -> BaselineLead:
    """Return the score's lead over the baseline that is best in a metric."""
    values = {name: METRICS[metric](audience, *pair) for name, pair in pairs.items()}
    score = values.pop("score")
    best = max(values, key=lambda name: values[name])
    interval = bootstrap_interval(metric, audience, pairs["score"], pairs[best], resamples, seed)
    return BaselineLead(best, score - values[best], *interval)


def incomparable_reason(champion: Champion | None, config: Config) -> str | None:
    """Return why a challenger of a configuration cannot be compared with the champion; None where it can."""
    if champion is None:
        return "there is no champion yet"
    (bundle, version), outcome = champion, config.outcome
    try:
        check_catalogue(bundle)
    except CatalogueError:
        return f"the champion, version {version}, was trained on another catalogue of features and cannot be run here"
    if bundle.horizon_days != outcome.horizon_days:
        days = f"{bundle.horizon_days} days, the challenger {outcome.horizon_days}"
        return f"the champion, version {version}, predicts {days}"
    if bundle.label != outcome.label:
        return f"the champion, version {version}, predicts {bundle.label}, the challenger {outcome.label}"
    if set(bundle.seeds) != set(config.credibility.seeds):
        return f"credibility flows from other seeds than in the training of the champion, version {version}"
    return None


def compare_with_champion(
    champion: Champion | None, test: pd.DataFrame, predicted: pd.DataFrame, config: Config
) -> ChampionComparison | NotMeasured:
    """Compare a challenger with the champion on one horizon, the same users for both, by paired bootstrap.

    Parameters
    ----------
    champion : bundle and version, or None
    test : panel rows of one cutoff: features, as_of, audience
    predicted : the challenger's out-of-time predictions of them: columns unclipped, expected_audience
    config : `[outcome]`, `[credibility]`, and the resamples and the seed of the bootstrap

    """
    reason = incomparable_reason(champion, config)
    if champion is None or reason is not None:
        return NotMeasured(str(reason))
    bundle, version = champion
    audience = test["audience"].to_numpy(float)
    pairs = signal_pair(predicted), signal_pair(bundle.predict(test))
    in_sample = pd.Timestamp(datetime.fromisoformat(bundle.facts["as_of"])) > test["as_of"].iloc[0]
    margins = {metric: _champion_lead(metric, audience, pairs, config) for metric in RANKING}
    return ChampionComparison(version, bool(in_sample), margins)


def _champion_lead(
    metric: str, audience: np.ndarray, pairs: tuple[SignalPair, SignalPair], config: Config
) -> ChampionLead:
    interval = bootstrap_interval(metric, audience, *pairs, config.evaluation.resamples, config.model.seed)
    ours, theirs = (METRICS[metric](audience, *pair) for pair in pairs)
    return ChampionLead(theirs, ours - theirs, *interval)
