"""Training: panel, fit, rehearsal, register, gate."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import TypeVar

import ibis.expr.types as ir
import pandas as pd

from features.errors import ConfigError
from features.events.encoding import EncodedEvents
from features.events.event_table import time_range
from features.events.loading import resolve_as_of
from training.backtest import backtest
from training.config import Config
from training.dataset.labels import require_complete_horizon
from training.dataset.panel import Split, build_panel, split_cutoffs
from training.evaluation.evaluate import Champion
from training.fit import fit
from training.home import Home
from training.model.bundle import Bundle
from training.model.scale import Scale, frozen_scale
from training.model_selection.ablation import ablate
from training.model_selection.tuning import TRIALS, TuningResult, tune
from training.registry import model_registry
from training.release.checks import measure_attacks, measure_churn
from training.release.gate import Verdict, evaluate_gate, normalize_override_reason
from training.reports.gate_report import gate_report
from training.reports.model_card import model_card

log = logging.getLogger("clout")
T = TypeVar("T")
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class TrainingResult:
    """What a training came to.

    The bundle, its version, its recipe's out-of-time evaluation, the verdict, whether it is the champion now, how it
    was tuned, and the scale and the version that were in force before, None where there was none.
    """

    bundle: Bundle
    version: str
    evaluation: dict
    verdict: Verdict
    promoted: bool
    tuned: TuningResult | None = None
    scale_before: Scale | None = None
    champion_before: str | None = None


def train(
    acts: EncodedEvents,
    config: Config,
    home: Home,
    as_of: datetime | None = None,
    progress: Progress = lambda *_: None,
    trials: int | None = None,
    ablation: bool = False,
    rescale: bool = False,
    events: ir.Table | None = None,
    force: str | None = None,
) -> TrainingResult:
    """Train on a community and register what comes out as challenger; promote it if the gate lets it pass.

    The figures are those of the very same recipe fitted one horizon earlier and judged on the newest complete horizon,
    so they are out of time. What is registered learns from that newest horizon too; tuning never sees it.

    Parameters
    ----------
    acts : from `open_acts`, in the scopes of the configuration
    config : what to foretell and how to fit
    home : where the registry is
    as_of : nothing at or after it is seen; None takes all events
    progress : called with a step's name and the share of it that is done
    trials : tune the model's settings in so many trials, kept in the home; None takes those of the configuration
    ablation : also measure what each part of the recipe is worth, on several past cutoffs
    rescale : make a new scale, instead of keeping the champion's
    events : what `acts` were made from, to put attacks among, from `open_events`; None leaves attacks unmeasured
    force : why it is promoted even if the gate fails; None leaves it to the gate

    Raises
    ------
    AsOfError : nothing happened before `as_of`, it lies in the future, or the events end long before it
    TooSmallError : the community is too small or too young
    RegistryError : the registry cannot be reached
    ConfigError : the frozen scale is of another horizon, or none of the seeds is there
    OutputError : the trials cannot be kept
    GateError : the reason to force it is blank

    """
    force, champion = normalize_override_reason(force), model_registry.find_champion(home, check_catalogue=False)
    acts = _seeded(acts, config)
    scale = None if rescale else _scale(champion, config)
    panel, split = _panel(acts, config, as_of, progress)
    tuned = _tuned(panel, split, config, home, trials, progress)
    if tuned is not None:
        config = config.model_copy(update={"model": tuned.model})
    bundle = _timed("fit", progress, lambda: fit(panel, split, config, scale))
    evaluation, figures = _timed(
        "rehearsal", progress, lambda: backtest(acts, panel, split, config, bundle.scale, champion)
    )
    if tuned is not None:
        evaluation["tuning"] = tuned.table
    if ablation:
        evaluation["ablation"] = ablate(panel, split.cutoffs, config, _of(progress, "ablation"))
    measured = _trial(acts, events, bundle, champion, config, rescale, progress)
    verdict = evaluate_gate(evaluation, measured, config.gate).forced_by(force)
    evaluation["gate"] = verdict.as_json() | measured
    version = _timed("register", progress, lambda: _registered(home, bundle, evaluation, figures, verdict))
    scale_before, version_before = (champion[0].scale, champion[1]) if champion else (None, None)
    return TrainingResult(bundle, version, evaluation, verdict, verdict.promotes, tuned, scale_before, version_before)


def _seeded(acts: EncodedEvents, config: Config) -> EncodedEvents:
    """Let credibility flow from the seeds that are configured, if any is there."""
    seeds = config.credibility.seeds
    if seeds and not acts.users.filter(acts.users.user.isin(seeds)).count().to_pyarrow().as_py():
        shown = ", ".join(seeds[:3]) + (", ..." if len(seeds) > 3 else "")
        raise ConfigError(
            f"none of the {len(seeds)} seeds in [credibility] is anybody in the events: {shown}. Give ids as they "
            "stand there, or leave seeds out to have them chosen."
        )
    return acts.with_seeds(seeds)


def _scale(champion: Champion | None, config: Config) -> Scale | None:
    """Return the champion's scale, if there is a champion: even one of another catalogue leaves its scale."""
    frozen = (champion[0].scale, champion[0].horizon_days) if champion else None
    return frozen_scale(frozen, config.outcome.horizon_days)


def _panel(
    acts: EncodedEvents, config: Config, as_of: datetime | None, progress: Progress
) -> tuple[pd.DataFrame, Split]:
    first, last = time_range(acts.rows)
    as_of = resolve_as_of(acts.rows, as_of)
    horizon_days = config.outcome.horizon_days
    split = split_cutoffs(first, as_of, horizon_days, config.panel.cutoffs)
    require_complete_horizon(last, split.newest, horizon_days)
    told, label = _of(progress, "panel"), config.outcome.label
    return _timed("panel", None, lambda: build_panel(acts, split, horizon_days, told, label)), split


def _tuned(
    panel: pd.DataFrame, split: Split, config: Config, home: Home, trials: int | None, progress: Progress
) -> TuningResult | None:
    if trials is None:
        return None
    told = _of(progress, "tune")
    return _timed("tune", None, lambda: tune(panel, split.older, config.model, trials, home.folder / TRIALS, told))


def _trial(
    acts: EncodedEvents,
    events: ir.Table | None,
    bundle: Bundle,
    champion: Champion | None,
    config: Config,
    rescale: bool,
    progress: Progress,
) -> dict:
    """Measure what the gate asks of the bundle itself."""
    told = _of(progress, "attacks")
    return {
        "churn": _timed("churn", progress, lambda: measure_churn(acts, bundle, champion, config, rescale)),
        "attacks": _timed("attacks", progress, lambda: measure_attacks(events, bundle, config, told)),
    }


def _logged(bundle: Bundle, evaluation: dict) -> tuple[dict, dict, dict]:
    """Return what MLflow takes: parameters and metrics, both flat, and the whole report."""
    sections = bundle.facts["config"].items()
    params = {f"{section}.{key}": value for section, held in sections for key, value in held.items()}
    params |= {key: bundle.facts[key] for key in ("as_of", "rows", "catalogue")}
    metrics = {
        f"{signal}.{key}": value
        for signal, held in evaluation["metrics"].items()
        for key, value in held.items()
        if value is not None
    }
    metrics |= {f"lead.{key}": margin["margin"] for key, margin in evaluation["margins"].items()}
    return params, metrics, evaluation


def _registered(home: Home, bundle: Bundle, evaluation: dict, figures: dict, verdict: Verdict) -> str:
    """Register a version, with its card and the gate's report, and promote it if the verdict says so."""
    texts = {
        model_registry.CARD: model_card(bundle, evaluation, verdict),
        model_registry.GATE: gate_report(bundle, evaluation["gate"], verdict),
    }
    tags = {model_registry.GATE_TAG: model_registry.PASSED if verdict.passed else model_registry.FAILED}
    version = model_registry.register(home, bundle, *_logged(bundle, evaluation), figures, texts, tags)
    if verdict.promotes:
        model_registry.promote(home, version, verdict.forced)
    return version


def _of(progress: Progress, step: str) -> Callable[[float], None]:
    return lambda share: progress(step, share)


def _timed(step: str, progress: Progress | None, work: Callable[[], T]) -> T:
    """Do a step, say how long it took and, where it cannot tell itself, when it begins and ends."""
    if progress is not None:
        progress(step, 0.0)
    began = perf_counter()
    done = work()
    log.info("%s took %.1f s", step, perf_counter() - began)
    if progress is not None:
        progress(step, 1.0)
    return done
