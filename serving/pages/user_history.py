"""A user's history: the scores of all snapshots, and what was predicted beside what happened."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import log1p

from features.utc import UtcText, parse_utc
from serving.review.history import History, PastScore, history
from serving.review.past_predictions import PastPrediction, past_predictions
from serving.snapshots.layout import age_order
from serving.snapshots.repository import list_snapshots
from training.home import Home

ROUND_AUDIENCES = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 1_000_000)
MOST_GRID_LINES = 5
MARGIN = 4.0
MOST_SCORES = 24


@dataclass(frozen=True)
class ScorePoint:
    """A score in the chart of a history.

    Parameters
    ----------
    score : of one snapshot
    x, y : where it lies, in percent of the chart
    before : the instant of the snapshot before it, None for the first
    change : points since that; None without one, or with too little evidence at either instant
    is_new_model : whether another model made the score before it

    """

    score: PastScore
    x: float
    y: float
    before: UtcText | None
    change: float | None
    is_new_model: bool


@dataclass(frozen=True)
class PredictionPoint:
    """A past prediction in its chart: positions in percent, `happened_y` None where nothing is known yet."""

    prediction: PastPrediction
    x: float
    low_y: float
    high_y: float
    expected_y: float
    happened_y: float | None


@dataclass(frozen=True)
class HistoryView:
    """The history of a user as charts and as one table.

    Parameters
    ----------
    points : the scores, oldest first
    predictions : those with enough evidence, oldest first
    grid : numbers of people and where they lie, for the axis of the predictions
    known, inside : how many past predictions can be compared with what happened, and how many held
    trained_later : how many could be compared as well, but their model was trained on what happened
    history : the rest of what the API gives
    days_apart : between the scores at least, if there are more snapshots; else None

    """

    points: tuple[ScorePoint, ...]
    predictions: tuple[PredictionPoint, ...]
    grid: tuple[tuple[int, float], ...]
    known: int
    inside: int
    trained_later: int
    history: History
    days_apart: float | None

    @property
    def prediction_at(self) -> dict[str, PastPrediction]:
        """The predictions by instant."""
        return {point.prediction.score.as_of: point.prediction for point in self.predictions}


def history_view(home: Home, user: str, scope: str, horizon_days: int, champion: str | None = None) -> HistoryView:
    """Collect a user's newest scores; errors as in `history`.

    Of more than `MOST_SCORES` snapshots it takes one in a quarter of a horizon, so that predictions and what happened a
    horizon later are both among them.
    """
    gap = timedelta(days=horizon_days) / 4
    past = history(home, user, scope, champion=champion, most=MOST_SCORES, gap=gap)
    predictions = past_predictions(home, past)
    most = max(map(_largest, predictions), default=1.0)
    compared = [prediction for prediction in predictions if prediction.inside is not None]
    forecasts = [prediction for prediction in compared if prediction.is_forecast]
    return HistoryView(
        points=_score_points(past.scores),
        predictions=tuple(
            _prediction_point(prediction, x, most)
            for prediction, x in zip(predictions, _spread(len(predictions)), strict=True)
        ),
        grid=_grid(most),
        known=len(forecasts),
        inside=sum(bool(prediction.inside) for prediction in forecasts),
        trained_later=len(compared) - len(forecasts),
        history=past,
        days_apart=gap / timedelta(days=1) if _instants(home) > MOST_SCORES else None,
    )


def _instants(home: Home) -> int:
    return len({age_order(folder)[0] for folder in list_snapshots(home)})


def _score_points(scores: Sequence[PastScore]) -> tuple[ScorePoint, ...]:
    times = [parse_utc(score.as_of).timestamp() for score in scores]
    span = times[-1] - times[0] or 1.0
    points = []
    for k, score in enumerate(scores):
        before = scores[k - 1] if k else None
        scored = before is not None and "scored" == score.status == before.status
        share = (times[k] - times[0]) / span if len(scores) > 1 else 0.5
        points.append(
            ScorePoint(
                score=score,
                x=round(MARGIN + (100 - 2 * MARGIN) * share, 3),
                y=round(100 - score.score, 3),
                before=before.as_of if before else None,
                change=score.score - before.score if before and scored else None,
                is_new_model=before is not None and before.model_version != score.model_version,
            )
        )
    return tuple(points)


def _prediction_point(prediction: PastPrediction, x: float, most: float) -> PredictionPoint:
    interval, happened = prediction.score.interval, prediction.happened
    return PredictionPoint(
        prediction=prediction,
        x=x,
        low_y=_height(interval.low, most),
        high_y=_height(interval.high, most),
        expected_y=_height(prediction.score.expected_audience, most),
        happened_y=None if happened is None else _height(happened, most),
    )


def _largest(prediction: PastPrediction) -> float:
    """Return the most people that a prediction or its outcome names; the interval ends at whole people."""
    score = prediction.score
    return max(score.interval.high, score.expected_audience, prediction.happened or 0.0)


def _height(people: float, most: float) -> float:
    """Return where a number of people lies, in percent from the top, on an axis of `ln(1 + people)`."""
    return round(100 * (1 - log1p(people) / log1p(max(most, 1.0))), 3)


def _spread(count: int) -> list[float]:
    return [round(100 * (k + 0.5) / count, 3) for k in range(count)]


def _grid(most: float) -> tuple[tuple[int, float], ...]:
    below = [people for people in (0, *ROUND_AUDIENCES) if people <= most]
    step = -(-len(below) // MOST_GRID_LINES)
    return tuple((people, _height(people, most)) for people in below[::step])
