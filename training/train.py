"""Training: build the panel, fit a candidate on it and evaluate its recipe out of time. No registry is needed."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from time import perf_counter

import pandas as pd
from matplotlib.figure import Figure

from features.errors import ConfigError
from features.events.encoding import EncodedEvents, cached
from features.events.event_table import time_range
from features.events.fingerprint import fingerprint
from features.events.loading import check_scopes, resolve_as_of
from features.progress import Progress, StepProgress, ignore_progress, of_step
from training.backtest import backtest
from training.config import Config
from training.dataset.labels import require_complete_horizon
from training.dataset.panel import Split, build_panel, present_rows, split_cutoffs
from training.dataset.sampling import SAMPLE_FACT, RowSample, count_rows, memory_note, plan_sample
from training.evaluation.report_types import BacktestReport
from training.fit import FittedBoosters, fit
from training.model.bundle import Bundle, Champion
from training.model.feature_sets import panel_features
from training.model.scale import frozen_scale
from training.model_selection.ablation import ablate, folds_of
from training.model_selection.tuning import TuningResult, tune
from training.selection.selection_model import fit_selection_model, with_selection
from training.source_version import source_version

log = logging.getLogger("clout")
Notify = Callable[[str, bool], None]


def ignore_note(_: str, __: bool) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class TrainOptions:
    """How to train.

    Parameters
    ----------
    as_of : events at or after it are ignored; None takes all events
    trials : how many trials the tuning of the model's settings takes; None takes the settings of the configuration
    trials_file : an SQLite file that stores the trials; None keeps them in memory
    ablation : also measure the value of each part of the recipe, on several past cutoffs
    rescale : make a new scale, instead of keeping the champion's

    """

    as_of: datetime | None = None
    trials: int | None = None
    trials_file: Path | None = None
    ablation: bool = False
    rescale: bool = False


@dataclass(frozen=True)
class Candidate:
    """A model that is not released yet.

    Parameters
    ----------
    bundle : the model
    evaluation : of its recipe, out of time
    figures : plots of the evaluation, by name
    config : what it was fitted with, tuned settings included
    events : the encoded events that it was trained on
    champion : the champion that it was compared with, None where there was none
    rescaled : whether a new scale was requested
    tuned : the result of the tuning, if there was one

    """

    bundle: Bundle
    evaluation: BacktestReport
    figures: dict[str, Figure]
    config: Config
    events: EncodedEvents
    champion: Champion | None = None
    rescaled: bool = False
    tuned: TuningResult | None = None


def train(
    events: EncodedEvents,
    config: Config,
    champion: Champion | None = None,
    options: TrainOptions = TrainOptions(),
    progress: StepProgress = ignore_progress,
    notify: Notify = ignore_note,
) -> Candidate:
    """Train a model on a community and evaluate its recipe; `release` then checks, registers and promotes it.

    The figures are those of the same recipe fitted one horizon earlier and evaluated on the newest complete horizon,
    so they are out of time. The model itself learns from that newest horizon too; tuning never sees it.

    Parameters
    ----------
    events : from `load_encoded_events`, in the scopes of the configuration
    config : what to predict and how to fit
    champion : bundle and version of the current champion; the model keeps its scale and is compared with it
    options : how to train
    progress : called with a step's name and the share of it that is done
    notify : called before the panel is built with what it needs, and whether that is available

    Raises
    ------
    AsOfError : nothing happened before `as_of`, it lies in the future, or the events end long before it
    TooSmallError : the community is too small or too young, also for the requested ablation or tuning
    ConfigError : the frozen scale is of another horizon or label, or none of the seeds is a user in the events
    ScopeError : a scope of the panel has no users
    OutputError : the trials cannot be stored
    EventsError : a file of the events changed while it was read

    """
    check_scopes(events, config.panel.scopes)
    events = _with_seeds(events, config)
    before = champion.bundle if champion and not options.rescale else None
    frozen = (before.scale, before.horizon_days, before.label) if before else None
    scale = frozen_scale(frozen, config.outcome.horizon_days, config.outcome.label)
    models = [champion.bundle.features] if champion else []
    features = None if options.ablation else panel_features(models)
    panel, split, sample = _panel(events, config, options.as_of, features, of_step(progress, "panel"), notify)
    if options.ablation:
        folds_of(panel, split.cutoffs)
    tuned = None
    if options.trials is not None:
        on_tune = of_step(progress, "tune")
        with timed("tune"):
            tuned = tune(panel, split.older, config.model, options.trials, options.trials_file, on_tune)
        config = config.model_copy(update={"model": tuned.model})
    with timed("fit", progress):
        present = present_rows(events, split, config.outcome.horizon_days, sample)
        fitted: FittedBoosters = {}
        bundle = fit(panel, split, config, scale, present, fitted)
    if sample is not None:
        bundle = bundle.with_facts({SAMPLE_FACT: asdict(sample)})
    with timed("fingerprint", progress):
        trained_on = fingerprint(events, datetime.fromisoformat(bundle.facts["as_of"]))
        bundle = bundle.with_facts({"events": asdict(trained_on), "source": source_version()})
    with timed("backtest", progress):
        evaluation, figures = backtest(events, panel, split, config, bundle.scale, champion, fitted)
    with timed("selection"):
        model = fit_selection_model(events, panel, split, config, of_step(progress, "selection"))
        bundle = with_selection(bundle, model)
    events.files.check_unchanged()
    evaluation = replace(
        evaluation,
        tuning=None if tuned is None else tuned.table,
        ablation=ablate(panel, split.cutoffs, config, of_step(progress, "ablation")) if options.ablation else None,
    )
    return Candidate(bundle, evaluation, figures, config, events, champion, options.rescale, tuned)


def _with_seeds(events: EncodedEvents, config: Config) -> EncodedEvents:
    """Let credibility flow from the configured seeds, of which at least one must be a user in the events."""
    seeds = config.credibility.seeds
    if not seeds:
        return events.with_seeds(seeds)
    users = events.users.filter(events.users.user.isin(seeds)).select("user").to_pyarrow()["user"].to_pylist()
    unknown = [seed for seed in seeds if seed not in users]
    examples = ", ".join(unknown[:3]) + (", ..." if len(unknown) > 3 else "")
    if len(unknown) == len(seeds):
        raise ConfigError(
            f"none of the {len(seeds)} seeds in [credibility] is a user in the events: {examples}. Give ids as they "
            "are in the events, or omit seeds to have them chosen."
        )
    if unknown:
        log.warning(
            f"{len(unknown)} of the {len(seeds)} seeds in [credibility] are not users in the events: {examples}. "
            "Credibility flows from the others alone; give ids as they are in the events."
        )
    return events.with_seeds(seeds)


def _panel(
    events: EncodedEvents,
    config: Config,
    as_of: datetime | None,
    features: Sequence[str] | None,
    progress: Progress,
    notify: Notify,
) -> tuple[pd.DataFrame, Split, RowSample | None]:
    first, last = time_range(events.rows)
    horizon_days = config.outcome.horizon_days
    split = split_cutoffs(first, resolve_as_of(events.rows, as_of), horizon_days, config.panel.cutoffs)
    require_complete_horizon(last, split.newest, horizon_days)
    with timed("panel"), cached(events) as shared:
        sizes = count_rows(shared, split.cutoffs)
        sample = plan_sample(sizes, config.panel.rows, config.model.seed)
        notify(*memory_note(sample.rows if sample else int(sizes["rows"].sum()), sample, features))
        return build_panel(shared, split, horizon_days, progress, config.outcome.label, features, sample), split, sample


@contextmanager
def timed(step: str, progress: StepProgress = ignore_progress) -> Iterator[None]:
    """Log the duration of a step, and with `progress`, for a step that reports none itself, report start and end."""
    progress(step, 0.0)
    began = perf_counter()
    yield
    log.info("%s took %.1f s", step, perf_counter() - began)
    progress(step, 1.0)
