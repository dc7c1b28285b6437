"""What the report of a model shows: calibration and attacks, arranged as charts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any

from features.utc import UtcText
from serving.review.past_outcomes import OutcomeBand, PastOutcomes

LEAST_PEOPLE = 0.01


@dataclass(frozen=True)
class CalibrationBand(OutcomeBand):
    """A band of users, and where its predicted and real people lie on the axis, in percent."""

    predicted_at: float
    happened_at: float


@dataclass(frozen=True)
class Calibration:
    """What was predicted from an instant on and what happened, by band; `marks` are people and their place, in percent.

    `total` is predicted over real people, None where nobody came; `coverage` the share of users inside their
    interval. The share that the intervals should hold is `level`; None where it is not known.
    """

    as_of: UtcText
    horizon_days: int
    users: int
    total: float | None
    coverage: float
    level: float | None
    bands: tuple[CalibrationBand, ...]
    marks: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class AttackBar:
    """An attack: what is done, what it gains, and where its bars end in percent of the chart.

    Parameters
    ----------
    description : what is done
    learnt : whether the model had learnt among such attackers
    gain, limit, baseline_gain : points gained by the median member, the limit, and the gain under the best baseline
    gain_at, limit_at, baseline_at : where the bars end
    within_limit : whether it stays within its limits

    """

    description: str
    learnt: bool
    gain: float
    limit: float
    baseline_gain: float
    gain_at: float
    limit_at: float
    baseline_at: float
    within_limit: bool


@dataclass(frozen=True)
class Alliance:
    """What established people who respond on demand gain an ordinary member.

    Parameters
    ----------
    description : what is done
    people : how many respond to a member
    gain, people_gain : gained by the median member, in points and in people
    people_limit : how many people may be gained
    within_limit : whether it stays within that

    """

    description: str
    people: int
    gain: float
    people_gain: float
    people_limit: float
    within_limit: bool


@dataclass(frozen=True)
class Attacks:
    """The attacks on a model, strongest first, the baseline that ranks honest users best, and alliances if measured."""

    as_of: UtcText
    best_baseline: str
    within_limits: bool
    bars: tuple[AttackBar, ...]
    marks: tuple[tuple[int, float], ...]
    alliances: tuple[Alliance, ...] = ()


class PeopleAxis:
    """A logarithmic axis of people, from a hundredth of a person to a power of ten above all values."""

    def __init__(self, people: Sequence[float]):
        self._low = floor(log10(max(min(people, default=1.0), LEAST_PEOPLE)))
        self._high = max(ceil(log10(max([*people, 1.0]))), self._low + 1)

    def percent(self, people: float) -> float:
        """Return where a number of people lies, in percent."""
        position = (log10(max(people, LEAST_PEOPLE)) - self._low) / (self._high - self._low)
        return round(100 * min(max(position, 0.0), 1.0), 2)

    @property
    def marks(self) -> tuple[tuple[float, float], ...]:
        """The powers of ten and where they lie, in percent."""
        return tuple((10.0**power, self.percent(10.0**power)) for power in range(self._low, self._high + 1))


class PointsAxis:
    """A linear axis of points, from zero to a multiple of ten above all values."""

    def __init__(self, most: float):
        self._high = 10 * ceil(most / 10)

    def percent(self, points: float) -> float:
        """Return where a number of points lies, in percent."""
        return float(round(100 * max(points, 0.0) / self._high, 2))

    @property
    def marks(self) -> tuple[tuple[int, float], ...]:
        """The multiples of ten and where they lie, in percent."""
        return tuple((mark, self.percent(mark)) for mark in range(0, self._high + 1, 10))


def calibration(report: Mapping[str, Any], level: float | None = None) -> Calibration:
    """Arrange the backtest of a report: out of time, the recipe fitted one horizon earlier."""
    score = report["metrics"]["score"]
    bands = [
        OutcomeBand(band["from"], band["to"], band["users"], band["expected"], band["audience"], band["coverage"])
        for band in report["bands"]
    ]
    return Calibration(
        as_of=report["as_of"],
        horizon_days=report["horizon_days"],
        users=report["users"],
        total=score["total"],
        coverage=score["coverage"],
        level=level,
        **_bands(bands),
    )


def past_calibration(outcomes: PastOutcomes) -> Calibration:
    """Arrange what a snapshot predicted and what happened."""
    return Calibration(
        as_of=outcomes.as_of,
        horizon_days=outcomes.horizon_days,
        users=outcomes.users,
        total=outcomes.predicted / outcomes.happened if outcomes.happened else None,
        coverage=outcomes.coverage,
        level=outcomes.level,
        **_bands(outcomes.bands),
    )


def _bands(bands: Sequence[OutcomeBand]) -> dict[str, Any]:
    axis = PeopleAxis([people for band in bands for people in (band.predicted, band.happened)])
    placed = tuple(
        CalibrationBand(
            **vars(band), predicted_at=axis.percent(band.predicted), happened_at=axis.percent(band.happened)
        )
        for band in bands
    )
    return {"bands": placed, "marks": axis.marks}


def attacks(report: Mapping[str, Any]) -> Attacks | None:
    """Arrange the attacks of a report; None where they were not measured."""
    measured = report.get("gate", {}).get("attacks", {})
    if "attacks" not in measured:
        return None
    results = sorted(measured["attacks"], key=lambda result: -result["gain_median"])
    best = measured["best_baseline"]
    most = max(max(result["gain_median"], result["limit"], result["baselines"][best]) for result in results)
    axis = PointsAxis(most)
    return Attacks(
        as_of=measured["as_of"],
        best_baseline=best,
        within_limits=all(result["within_limit"] for result in results),
        bars=tuple(_attack_bar(result, best, axis) for result in results),
        marks=axis.marks,
        alliances=tuple(map(_alliance, measured.get("alliances", ()))),
    )


def _attack_bar(result: Mapping[str, Any], best_baseline: str, axis: PointsAxis) -> AttackBar:
    gain, limit, baseline_gain = result["gain_median"], result["limit"], result["baselines"][best_baseline]
    return AttackBar(
        description=result["description"],
        learnt=result["mode"] != "scoring",
        gain=gain,
        limit=limit,
        baseline_gain=baseline_gain,
        gain_at=axis.percent(gain),
        limit_at=axis.percent(limit),
        baseline_at=axis.percent(baseline_gain),
        within_limit=result["within_limit"],
    )


def _alliance(result: Mapping[str, Any]) -> Alliance:
    return Alliance(
        description=result["description"],
        people=result["people"],
        gain=result["gain_median"],
        people_gain=result["people_gain_median"],
        people_limit=result["people_limit"],
        within_limit=result["within_limit"],
    )
