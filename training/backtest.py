"""The rehearsal: the recipe fitted one horizon earlier and judged on the newest complete one, out of time."""

import pandas as pd
from matplotlib.figure import Figure

from features.events.encoding import EncodedEvents
from features.events.scopes import ALL
from training.config import Config
from training.dataset.panel import Split, in_scope, rows_at
from training.evaluation.baselines import baselines
from training.evaluation.evaluate import Champion, compare_with_champion, evaluate
from training.evaluation.metrics import rank_retention
from training.evaluation.slices import slices
from training.explanation.global_view import views
from training.fit import fit
from training.model.booster import margins
from training.model.bundle import Bundle
from training.model.scale import Scale
from training.reports import plots, score_plots, shap_plots


def backtest(
    acts: EncodedEvents,
    panel: pd.DataFrame,
    split: Split,
    config: Config,
    scale: Scale,
    champion: Champion | None = None,
) -> tuple[dict, dict[str, Figure]]:
    """Fit on all cutoffs but the newest and foretell the newest.

    Parameters
    ----------
    acts : what the panel was made from
    panel, split, config : as for `fit`
    scale : in whose points to speak
    champion : bundle and version, to be judged on the same users

    Returns
    -------
    (evaluation, figures) : as `evaluate`, with as_of, horizon_days, `champion` (as `compare_with_champion`), `slices`,
    `retention` and `view`; and pictures by name

    """
    earlier = fit(panel, split.earlier(), config, scale)
    judged = rows_at(panel, split.newest)
    foretold = earlier.predict(judged).assign(scope=judged["scope"])
    test, predicted = in_scope(judged, ALL), in_scope(foretold, ALL)
    signals = baselines(acts, test, split.newest)
    audience, seen = test["audience"].to_numpy(), views(earlier, judged, config.model.seed)
    evaluation = {
        "as_of": split.newest.isoformat(),
        "horizon_days": config.outcome.horizon_days,
        **evaluate(audience, predicted, signals, config.evaluation.resamples, config.model.seed),
        "champion": compare_with_champion(champion, test, predicted, config),
        "slices": slices(judged, foretold),
        "retention": _retention(earlier, in_scope(rows_at(panel, split.older[-1]), ALL), test),
        "view": [view.as_json() for view in seen.values()],
    }
    pictures = shap_plots.pictures(seen, config.model.seed)
    return evaluation, _figures(earlier, test, predicted, signals, evaluation) | pictures


def _retention(earlier: Bundle, before: pd.DataFrame, test: pd.DataFrame) -> dict:
    """Compare how the same model ranks people at two cutoffs, one horizon apart."""
    return rank_retention(*(rows[["user"]].assign(score=margins(earlier.booster, rows)) for rows in (before, test)))


def _figures(
    earlier: Bundle, test: pd.DataFrame, predicted: pd.DataFrame, signals: pd.DataFrame, evaluation: dict
) -> dict[str, Figure]:
    audience = test["audience"].to_numpy(float)
    ranked = signals.assign(score=predicted["unclipped"])
    return {
        "calibration": plots.calibration(audience, predicted["expected_audience"].to_numpy()),
        "gain": plots.gain(audience, ranked),
        "points": score_plots.against_audience(predicted["score"].to_numpy(), audience),
        "coverage": score_plots.coverage(evaluation["bands"], earlier.intervals.level),
        "retention": score_plots.retention(evaluation["retention"]),
        "slices": score_plots.slices(evaluation["slices"]),
    }
