"""Monitoring: whether a community still looks as it did in training, and whether the score still foretells."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
import pandas as pd

from features.errors import AsOfError, RegistryError
from features.events.encoding import EncodedEvents, cached
from features.events.event_table import time_range
from features.events.loading import resolve_as_of
from features.events.scopes import ALL
from features.feature_table import feature_rows
from training.config import Config, Monitor
from training.dataset.labels import INGESTION_LAG
from training.dataset.panel import in_scope
from training.evaluation.evaluate import evaluate_bundle
from training.evaluation.report import EvaluationReport
from training.model import reference
from training.model.bundle import Bundle
from training.release.gate import against_baselines, forecast

FLOOR = 1e-4
STABLE, SHIFTED = 0.1, 0.25
JUDGED_WEIGHT = 0.01
UNKNOWN_APART = 0.1
CLOCKS = ("seniority_days",)

Progress = Callable[[str, float], None]


class Check(NamedTuple):
    """A finding in one sentence, and whether it is past a limit."""

    told: str
    past: bool = False


def psi(reference_shares: np.ndarray, live_shares: np.ndarray) -> float:
    """Return the population stability index, `sum((a - b) ln(a / b))` over bins, shares being at least 1e-4.

    Source: Siddiqi 2006, Credit Risk Scorecards; below 0.1 stable, up to 0.25 shifted, above that changed. It is zero
    for equal shares, never negative, and the same both ways round.
    """
    a, b = (np.maximum(np.asarray(held, dtype=float), FLOOR) for held in (reference_shares, live_shares))
    return float(np.sum((a - b) * np.log(a / b)))


def monitor(
    acts: EncodedEvents,
    bundle: Bundle,
    as_of: datetime | None = None,
    config: Config | None = None,
    progress: Progress = lambda *_: None,
) -> dict:
    """Hold the features and scores of an instant against those the bundle was made from, and its forecast against fact.

    Parameters
    ----------
    acts : from `open_acts`, scope `all`
    bundle : a model that knows its reference
    as_of : the instant; nothing at or after it is looked at; None is just after the last event
    config : `[monitor]` holds the limits, `[evaluation]` the resamples of the leads
    progress : called with a step's name and the share of it that is done

    Returns
    -------
    JSON values: `as_of`, `reference_as_of`, what `drift` gives, `realised` (as `evaluate_bundle`, on the newest
    complete horizon of which the model has not seen the outcomes; None where there is none yet), `findings` and, of
    them, the `alarms`, a sentence each, and `held`: no limit is passed

    Raises
    ------
    AsOfError : nothing happened before `as_of` or in the year before it, or it lies in the future
    RegistryError : the bundle has no reference

    """
    settings = config or Config()
    check_reference(bundle)
    at = resolve_as_of(acts.rows, as_of)
    with cached(acts.with_seeds(bundle.seeds)) as shared:
        rows = in_scope(feature_rows(shared, at, lambda share: progress("features", share)), ALL)
        progress("features", 1.0)
        if rows.empty:
            raise AsOfError(f"nobody acted or was engaged with in the 365 days before {at:%Y-%m-%d}: nothing to watch.")
        progress("realised", 0.0)
        realised, checks = _realised(shared, bundle, at, settings)
        progress("realised", 1.0)
    drifted = drift(rows, bundle, settings.monitor)
    checks = [*drift_checks(drifted, settings.monitor), *checks]
    alarms = [check.told for check in checks if check.past]
    heading = {"as_of": at.isoformat(), "reference_as_of": bundle.facts["reference"]["as_of"]}
    findings = {"findings": [check.told for check in checks], "alarms": alarms, "held": not alarms}
    return {**heading, **drifted, "realised": realised, **findings}


def check_reference(bundle: Bundle, version: str | None = None) -> None:
    """See that a bundle knows what its community looked like.

    Raises
    ------
    RegistryError : it does not, having been made before there were references

    """
    if "reference" not in bundle.facts:
        named = f"version {version}" if version else "the model"
        raise RegistryError(
            f"{named} was registered without a reference to hold a community against; train again with 'clout train'."
        )


def drift(rows: pd.DataFrame, bundle: Bundle, limits: Monitor) -> dict:
    """Hold feature rows of an instant against the bundle's reference.

    Parameters
    ----------
    rows : of one scope, NaN where unknown; at least one
    bundle : a model that knows its reference
    limits : of the features' psi

    Returns
    -------
    JSON values: `users` and `reference_users`; `score`, with its psi, and mean and quantiles `live` and `reference`;
    `level`, the mean expected audience live and then, and their ratio; `features`, the highest psi first, with
    `weight`, the feature's share of the gain in the booster, `judged`, whether its psi may raise an alarm (it weighs
    at least 1 % and is not an age, which rises by the clock in a community that stays as it is), and whether it does

    """
    held = bundle.facts["reference"]
    predicted = bundle.predict(rows)
    return {
        "users": len(rows),
        "reference_users": held["users"],
        "score": _score(held["score"], predicted["score"].to_numpy(float)),
        "level": _level(held["expected_audience"], float(predicted["expected_audience"].mean())),
        "features": _features(held["features"], rows, bundle, limits.feature_psi),
    }


def _score(held: dict, points: np.ndarray) -> dict:
    found = psi(held["shares"], reference.shares(points, np.asarray(held["edges"])))
    live = reference.level(points)
    return {"psi": found, "status": status(found), "live": live, "reference": {name: held[name] for name in live}}


def _level(then: float, live: float) -> dict[str, float]:
    return {"live": live, "reference": then, "ratio": live / max(then, 1e-9)}


def _features(held: dict, rows: pd.DataFrame, bundle: Bundle, limit: float) -> list[dict]:
    gain = bundle.booster.feature_importance("gain")
    weights = dict(zip(bundle.features, gain / max(gain.sum(), 1e-9), strict=True))
    found = []
    for name, weight in weights.items():
        live = reference.shares(rows[name].to_numpy(float), np.asarray(held[name]["edges"]))
        index = psi(held[name]["shares"], live)
        judged = bool(weight >= JUDGED_WEIGHT and name not in CLOCKS)
        found.append(
            {
                "feature": name,
                "psi": index,
                "status": status(index),
                "weight": float(weight),
                "judged": judged,
                "alarm": judged and index > limit,
                "unknown_live": float(live[-1]),
                "unknown_reference": held[name]["shares"][-1],
            }
        )
    return sorted(found, key=lambda feature: -feature["psi"])


def status(index: float) -> str:
    """Return the usual word for a population stability index."""
    return "stable" if index < STABLE else "shifted" if index <= SHIFTED else "changed"


def drift_checks(drifted: dict, limits: Monitor) -> list[Check]:
    """Hold what `drift` found against the limits: the score, each feature past its limit, and the most drifted one."""
    score, features = drifted["score"]["psi"], drifted["features"]
    checks = [Check(f"the score has a PSI of {score:.3f} (limit {limits.score_psi:g})", score > limits.score_psi)]
    over = [feature for feature in features if feature["psi"] > limits.feature_psi]
    checks += [Check(_told(feature, limits.feature_psi), feature["alarm"]) for feature in over]
    judged = [feature for feature in features if feature["judged"]]
    if judged and not judged[0]["alarm"]:
        told = f"of the {len(judged)} features that are judged, {judged[0]['feature']} has the highest PSI"
        checks.append(Check(f"{told}, {judged[0]['psi']:.3f} (limit {limits.feature_psi:g})"))
    return checks


def _told(feature: dict, limit: float) -> str:
    name = feature["feature"]
    told = f"{name} has a PSI of {feature['psi']:.3f} (limit {limit:g}) and carries {feature['weight']:.1%} of the gain"
    if abs(feature["unknown_live"] - feature["unknown_reference"]) > UNKNOWN_APART:
        told += f", unknown for {feature['unknown_live']:.0%} of users ({feature['unknown_reference']:.0%} in training)"
    if not feature["judged"]:
        told += ", not judged: " + ("it rises by the clock" if name in CLOCKS else "the model hardly uses it")
    return told


def _realised(
    acts: EncodedEvents, bundle: Bundle, at: datetime, config: Config
) -> tuple[EvaluationReport | None, list[Check]]:
    """Judge the newest complete horizon of which the model has not seen the outcomes, if there is one yet."""
    first, last = time_range(acts.rows)
    horizon = timedelta(days=bundle.horizon_days)
    start = (at if last >= at - INGESTION_LAG else resolve_as_of(acts.rows)) - horizon
    unseen = datetime.fromisoformat(bundle.facts["as_of"])
    if start < unseen or start <= first:
        day = max(unseen, first) + horizon
        told = (
            f"what was foretold can be judged from {day:%Y-%m-%d} on, with events up to then: a horizon of "
            f"{bundle.horizon_days} days is complete then whose outcomes the model has not seen"
        )
        return None, [Check(told)]
    figures = evaluate_bundle(acts, bundle, start, config.evaluation.resamples, config.model.seed)
    return figures, realised_checks(figures, config.monitor)


def realised_checks(figures: EvaluationReport, limits: Monitor) -> list[Check]:
    """Hold an evaluation against the limits: the total, the coverage, and the leads over the best baselines."""
    found = [*forecast(figures, limits), *against_baselines(figures)]
    return [Check(finding.message, finding.passed is False) for finding in found]


def metrics_of(report: dict) -> dict[str, float]:
    """Return a report's figures by name, as they are logged; those of the forecast where it could be judged."""
    judged = [feature["psi"] for feature in report["features"] if feature["judged"]]
    found = {
        "users": report["users"],
        "score_psi": report["score"]["psi"],
        "max_feature_psi": max(judged, default=0.0),
        "level": report["level"]["ratio"],
        "alarms": len(report["alarms"]),
    }
    realised = report["realised"]["metrics"]["score"] if report["realised"] else {}
    return found | {name: value for name, value in realised.items() if value is not None}
