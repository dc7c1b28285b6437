"""The rehearsal: the recipe fitted one horizon earlier and judged on the newest complete one, out of time."""

import pandas as pd
from matplotlib.figure import Figure

from features.acts import Acts
from features.scopes import ALL
from training import plots, plots_score, plots_view
from training.baselines import baselines
from training.bundle import Bundle
from training.champion import Champion, contest
from training.config import Config
from training.evaluation import evaluate
from training.model import margins
from training.panel import Split, in_scope, rows_at
from training.recipe import fit
from training.retention import rank_retention
from training.scale import Scale
from training.slices import slices
from training.view import views


def rehearse(
    acts: Acts, panel: pd.DataFrame, split: Split, config: Config, scale: Scale, champion: Champion | None = None
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
    (evaluation, figures) : as `evaluate`, with as_of, horizon_days, `champion` (as `contest`), `slices`,
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
        "champion": contest(champion, test, predicted, config),
        "slices": slices(judged, foretold),
        "retention": _retention(earlier, in_scope(rows_at(panel, split.older[-1]), ALL), test),
        "view": [view.as_json() for view in seen.values()],
    }
    pictures = plots_view.pictures(seen, config.model.seed)
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
        "points": plots_score.against_audience(predicted["score"].to_numpy(), audience),
        "coverage": plots_score.coverage(evaluation["bands"], earlier.intervals.level),
        "retention": plots_score.retention(evaluation["retention"]),
        "slices": plots_score.slices(evaluation["slices"]),
    }
