"""Backtest: fit the recipe one horizon earlier and evaluate it on the newest complete horizon, out of time."""

import pandas as pd
from matplotlib.figure import Figure

from features.events.encoding import EncodedEvents
from features.events.scopes import ALL
from training.config import Config
from training.dataset.panel import Split, in_scope, rows_at
from training.dataset.sampling import DRAWN, representative
from training.evaluation.baselines import baselines
from training.evaluation.evaluate import compare_with_champion, evaluate
from training.evaluation.metrics import auc, rank_retention
from training.evaluation.report_types import BacktestReport
from training.evaluation.slices import slices
from training.explanation.global_view import View, views
from training.fit import FittedBoosters, fit
from training.model.bounded_term import fit_boosters
from training.model.bundle import Bundle, Champion
from training.model.scale import Scale
from training.reports import plots, shap_plots


def backtest(
    events: EncodedEvents,
    panel: pd.DataFrame,
    split: Split,
    config: Config,
    scale: Scale,
    champion: Champion | None = None,
    fitted: FittedBoosters | None = None,
) -> tuple[BacktestReport, dict[str, Figure]]:
    """Fit on all cutoffs but the newest and predict the newest.

    Parameters
    ----------
    events : the events that the panel was built from
    panel, split, config : as for `fit`
    scale : the scale of the scores
    champion : bundle and version, to be evaluated on the same users
    fitted : boosters that need not be fitted again, as for `fit`

    Returns
    -------
    (evaluation, figures) : the report, and plots by name

    """
    seed, resamples = config.model.seed, config.evaluation.resamples
    newest = rows_at(panel, split.newest)
    earlier = fit(panel, split.earlier(), config, scale, newest, fitted)
    test_rows = representative(newest)
    predictions = earlier.predict(test_rows).assign(scope=test_rows["scope"])
    test, predicted = in_scope(test_rows, ALL), in_scope(predictions, ALL)
    signals = baselines(events, test, split.newest)
    scope_views = views(earlier, test_rows, split.newest, seed)
    level = config.interval.level
    comparison = evaluate(test["audience"].to_numpy(), predicted, level, signals, resamples, seed)
    before = in_scope(representative(rows_at(panel, split.older[-1])), ALL)
    ranked = (rows[["user"]].assign(score=earlier.margin(earlier.matrix(rows))) for rows in (before, test))
    evaluation = BacktestReport(
        **vars(comparison),
        as_of=split.newest.isoformat(),
        horizon_days=config.outcome.horizon_days,
        champion=compare_with_champion(champion, test, predicted, config),
        slices=slices(test_rows, predictions),
        retention=rank_retention(*ranked),
        view=tuple(view.as_json() for view in scope_views.values()),
        auc_of_half=_auc_of_half(panel, split, config, test) if DRAWN in panel else None,
    )
    return evaluation, _figures(earlier, test, predicted, signals, evaluation, scope_views, seed)


def _auc_of_half(panel: pd.DataFrame, split: Split, config: Config, test: pd.DataFrame) -> float:
    """Return the AUC of boosters that are fitted on half of the users of a sample."""
    older = rows_at(panel, *split.older)
    half = older[pd.util.hash_array(older["user"].to_numpy(object)) % 2 == 0]
    margin = fit_boosters(half.reset_index(drop=True), config.model).margins(test)
    return auc(test["audience"].to_numpy(float), margin, margin)


def _figures(
    earlier: Bundle,
    test: pd.DataFrame,
    predicted: pd.DataFrame,
    signals: pd.DataFrame,
    evaluation: BacktestReport,
    scope_views: dict[str, View],
    seed: int,
) -> dict[str, Figure]:
    audience = test["audience"].to_numpy(float)
    return {
        "calibration": plots.calibration(audience, predicted["expected_audience"].to_numpy()),
        "gain": plots.gain(audience, signals.assign(score=predicted["unclipped"])),
        "points": plots.against_audience(predicted["score"].to_numpy(), audience),
        "coverage": plots.coverage(evaluation.bands, earlier.intervals.level),
        "retention": plots.retention(evaluation.retention),
        "slices": plots.slices(evaluation.slices),
        **shap_plots.view_plots(scope_views, seed),
    }
