"""Training: panel, fit, evaluate, register, gate."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import perf_counter
from typing import TypeVar

import numpy as np
import pandas as pd

from features.acts import Acts
from features.catalogue import CATALOGUE
from features.errors import CatalogueError, TooSmallError
from features.events import span
from features.opening import checked_as_of
from features.scopes import ALL
from training import plots, registry
from training.baselines import baselines
from training.bundle import Bundle
from training.config import Config
from training.evaluation import evaluate
from training.gate import Verdict, judge
from training.home import Home
from training.interval import fit_intervals
from training.model import fit_booster
from training.outcome import check_complete
from training.panel import Split, build_panel, in_scope, rows_at, split_cutoffs
from training.scale import Scale, make_scale

log = logging.getLogger("clout")
T = TypeVar("T")


@dataclass(frozen=True)
class Trained:
    """What a training came to: the bundle, its version, its recipe's out-of-time evaluation, and the verdict."""

    bundle: Bundle
    version: str
    evaluation: dict
    verdict: Verdict
    promoted: bool


def fit(panel: pd.DataFrame, split: Split, config: Config, scale: Scale | None = None) -> Bundle:
    """Fit the whole recipe: booster on the training cutoffs, scale and intervals on the calibration cutoff.

    Parameters
    ----------
    panel : rows of all cutoffs of `split`
    split : cutoffs by role
    config : what to fit
    scale : a frozen scale to keep; None makes one

    Raises
    ------
    TooSmallError : nobody has an audience on the calibration cutoff

    """
    rows, recent = rows_at(panel, *split.train), rows_at(panel, split.calibrate)
    if not recent["audience"].any() or not rows["audience"].any():
        raise TooSmallError(
            f"nobody drew an audience in the {config.outcome.horizon_days} days from {split.calibrate:%Y-%m-%d} or "
            "before: there is nothing to learn from. Bring a community in which people engage with each other."
        )
    booster = fit_booster(rows, config.model)
    margin = booster.predict(recent[CATALOGUE.names].to_numpy(float), raw_score=True)
    return Bundle(
        booster_text=booster.model_to_string(),
        features={feature.name: feature.fingerprint for feature in CATALOGUE},
        scale=scale or make_scale(margin[recent["acts_365d"].to_numpy() > 0]),
        intervals=fit_intervals(np.exp(margin), recent["audience"].to_numpy(float), config.interval.level),
        horizon_days=config.outcome.horizon_days,
        facts=_facts(rows, split, config),
    )


def _facts(rows: pd.DataFrame, split: Split, config: Config) -> dict:
    horizon = timedelta(days=config.outcome.horizon_days)
    return {
        "as_of": (split.calibrate + horizon).isoformat(),
        "trained_on_outcomes_until": (split.train[-1] + horizon).isoformat(),
        "training_cutoffs": [cutoff.isoformat() for cutoff in split.train],
        "calibration_cutoff": split.calibrate.isoformat(),
        "rows": len(rows),
        "catalogue": CATALOGUE.fingerprint,
        "config": config.model_dump(mode="json"),
    }


def train(
    acts: Acts,
    config: Config,
    home: Home,
    as_of: datetime | None = None,
    progress: Callable[[str, float], None] = lambda *_: None,
) -> Trained:
    """Train on a community and register what comes out as challenger; promote it if the gate lets it pass.

    The figures are those of the very same recipe fitted one horizon earlier and judged on the newest complete horizon,
    so they are out of time. What is registered is then calibrated on that newest horizon.

    Parameters
    ----------
    acts : from `open_acts`, in the scopes of the configuration
    config : what to foretell and how to fit
    home : where the registry is
    as_of : nothing at or after it is seen; None takes all events
    progress : called with a step's name and the share of it that is done

    Raises
    ------
    AsOfError : nothing happened before `as_of`, it lies in the future, or the events end long before it
    TooSmallError : the community is too small or too young
    RegistryError : the registry cannot be reached

    """
    present = _frozen(home)
    first, last = span(acts.rows)
    as_of = checked_as_of(acts.rows, as_of)
    split = split_cutoffs(first, as_of, config.outcome.horizon_days, config.panel.cutoffs)
    check_complete(last, split.calibrate, config.outcome.horizon_days)
    panel = _timed("panel", lambda: build_panel(acts, split, config.outcome.horizon_days, _of(progress, "panel")))
    rehearsal = _timed("rehearsal", lambda: fit(panel, split.earlier(), config, present))
    test = in_scope(rows_at(panel, split.calibrate), ALL)
    signals = _timed("baselines", lambda: baselines(acts, test, split.calibrate))
    predicted = rehearsal.predict(test)
    progress("evaluate", 0.0)
    evaluation = _timed("evaluate", lambda: _evaluated(test, predicted, signals, config))
    progress("evaluate", 1.0)
    bundle = _timed("fit", lambda: fit(panel, split, config, rehearsal.scale))
    progress("register", 0.0)
    figures = _figures(bundle, test, predicted, signals)
    version = _timed("register", lambda: _register(home, bundle, config, evaluation, figures))
    verdict = judge(evaluation)
    promoted = _decide(home, version, verdict, first_model=present is None)
    progress("register", 1.0)
    return Trained(bundle, version, evaluation, verdict, promoted)


def _frozen(home: Home) -> Scale | None:
    """Return the champion's scale, which a retrain keeps."""
    try:
        found = registry.champion(home)
    except CatalogueError:
        log.warning("the champion was trained on another catalogue: a new scale is made")
        return None
    return found[0].scale if found else None


def _evaluated(test: pd.DataFrame, predicted: pd.DataFrame, signals: pd.DataFrame, config: Config) -> dict:
    figures = evaluate(test["audience"].to_numpy(), predicted, signals, config.evaluation.resamples, config.model.seed)
    return {"as_of": test["as_of"].iloc[0].isoformat(), "horizon_days": config.outcome.horizon_days, **figures}


def _figures(bundle: Bundle, test: pd.DataFrame, predicted: pd.DataFrame, signals: pd.DataFrame) -> dict:
    audience = test["audience"].to_numpy(float)
    ranked = signals.assign(score=predicted["unclipped"])
    return {
        "calibration": plots.calibration(audience, predicted["expected_audience"].to_numpy()),
        "gain": plots.gain(audience, ranked),
        "beeswarm": plots.beeswarm(bundle, test),
    }


def _register(home: Home, bundle: Bundle, config: Config, evaluation: dict, figures: dict) -> str:
    params = {f"{section}.{key}": value for section, held in config.model_dump().items() for key, value in held.items()}
    params |= {key: bundle.facts[key] for key in ("as_of", "calibration_cutoff", "rows", "catalogue")}
    metrics = {
        f"{signal}.{key}": value for signal, held in evaluation["metrics"].items() for key, value in held.items()
    }
    metrics |= {f"lead.{key}": margin["margin"] for key, margin in evaluation["margins"].items()}
    return registry.register(home, bundle, params, metrics, evaluation, figures)


def _decide(home: Home, version: str, verdict: Verdict, first_model: bool) -> bool:
    """Promote what passed, and a first model anyway since nothing better is there; tag the version with the verdict."""
    registry.tag(home, version, "gate", "passed" if verdict.passed else "failed")
    if verdict.passed or first_model:
        registry.promote(home, version)
    return verdict.passed or first_model


def _of(progress: Callable[[str, float], None], step: str) -> Callable[[float], None]:
    return lambda share: progress(step, share)


def _timed(step: str, work: Callable[[], T]) -> T:
    began = perf_counter()
    done = work()
    log.info("%s took %.1f s", step, perf_counter() - began)
    return done
