"""The types of evaluation reports: frozen dataclasses that are written as JSON only where they leave the program.

Stored documents name some fields with a word of their own, such as `from`; the metadata `json` of a field holds it.
"""

import math
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar

Metrics = dict[str, dict[str, float | None]]


def named(name: str) -> dict[str, str]:
    """Return the metadata of a field that JSON documents call by another name."""
    return {"json": name}


def to_json(value: Any) -> Any:
    """Convert reports to objects, tuples to lists and instants to ISO 8601, at any depth; leave other values."""
    if hasattr(value, "as_json"):
        return value.as_json()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    return [to_json(item) for item in value] if isinstance(value, list | tuple) else value


class Report:
    """Base of report dataclasses; `absent_if_none` names the fields that a document omits where they are None."""

    absent_if_none: ClassVar[tuple[str, ...]] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values, by the field names of stored documents."""
        return {
            field.metadata.get("json", field.name): to_json(value)
            for field in fields(self)  # type: ignore[arg-type]  # only dataclasses inherit
            if (value := getattr(self, field.name)) is not None or field.name not in self.absent_if_none
        }


@dataclass(frozen=True)
class NotMeasured(Report):
    """A measurement that was not made, and why."""

    reason: str = field(metadata=named("not_measured"))


@dataclass(frozen=True)
class BaselineLead(Report):
    """The lead `margin` of the score over the best baseline in one metric, with its 95 % bootstrap interval."""

    best_baseline: str
    margin: float
    low: float
    high: float


@dataclass(frozen=True)
class ChampionLead(Report):
    """The lead `margin` of a challenger over the champion's value in one metric, with its 95 % bootstrap interval."""

    champion: float
    margin: float
    low: float
    high: float


@dataclass(frozen=True)
class ChampionComparison(Report):
    """A challenger's leads over a version of the champion, by ranking metric.

    `in_sample`: the champion was trained on outcomes of this horizon, which gives it an advantage.
    """

    version: str
    in_sample: bool
    margins: dict[str, ChampionLead]


@dataclass(frozen=True)
class Band(Report):
    """Users whose expected audience lies in `[lower, upper)` people; `upper` is None for the last band.

    `expected`, `audience` and interval `width` are mean people, `coverage` is the share of users inside the interval,
    `interval_score` the mean of `interval_scores`, people.
    """

    lower: float = field(metadata=named("from"))
    upper: float | None = field(metadata=named("to"))
    users: int
    expected: float
    audience: float
    coverage: float
    width: float
    interval_score: float


@dataclass(frozen=True)
class Slice(Report):
    """Figures of one group of a grouping of users.

    Parameters
    ----------
    grouping, group, users : the group, and how many users it has
    share_with_audience : of its users
    expected, audience : mean expected and mean realised audience, people
    total : expected over real audience
    auc, r2_log : of the expected audience; `auc` is None where all or none have an audience
    coverage, width : share of users inside their interval, and its mean width, people

    """

    grouping: str
    group: str
    users: int
    share_with_audience: float
    expected: float
    audience: float
    total: float
    auc: float | None
    r2_log: float
    coverage: float
    width: float


@dataclass(frozen=True)
class TopShare(Report):
    """Users in the first `share` at one instant, the share of them still there later, and the share without a score."""

    share: float
    users: int
    retained: float
    departed: float


@dataclass(frozen=True)
class RankRetention(Report):
    """The users of two instants, those in `both`, their rank correlation, and how much of each top share remains."""

    users: tuple[int, int]
    both: int
    spearman: float | None
    top: tuple[TopShare, ...]


@dataclass(frozen=True)
class AblationRow(Report):
    """A variant of the recipe: means over `folds` past cutoffs; `level_error` is the mean of |ln total|."""

    variant: str
    folds: int
    auc: float
    ndcg_100: float
    r2_log: float
    total: float
    level_error: float


@dataclass(frozen=True)
class TrialRow(Report):
    """A tuning trial, its `state` (`finished` or `pruned`), its value by fold and its mean value, None if pruned."""

    trial: int
    state: str
    value: float | None
    folds: list[float]
    parameters: dict[str, Any]
    chosen: bool = False


@dataclass(frozen=True, kw_only=True)
class SignalComparison(Report):
    """The score and every baseline on the same users.

    Parameters
    ----------
    users : how many
    metrics : metric values by signal; the score also has those of `calibration_figures`
    margins : the score's lead over the best baseline, by ranking metric
    bands : calibration by expected audience

    """

    users: int
    metrics: Metrics
    margins: dict[str, BaselineLead]
    bands: tuple[Band, ...]

    def score_metric(self, name: str) -> float:
        """Return a metric of the score, NaN where it is undefined."""
        value = self.metrics["score"][name]
        return math.nan if value is None else value


@dataclass(frozen=True, kw_only=True)
class EvaluationReport(SignalComparison):
    """A comparison on the horizon of `horizon_days` from `as_of`.

    `in_sample`: whether the model was trained on outcomes of this horizon. It is None for a backtest, which never is.
    """

    absent_if_none: ClassVar[tuple[str, ...]] = ("in_sample",)

    as_of: str
    horizon_days: int
    in_sample: bool | None = None


@dataclass(frozen=True, kw_only=True)
class BacktestReport(EvaluationReport):
    """The out-of-time evaluation of a recipe, with the tuning and the ablation where they were requested.

    `view` holds the JSON figures of each scope's `View`; `auc_of_half`, where rows were sampled, the AUC of boosters
    fitted on half of the sample.
    """

    absent_if_none: ClassVar[tuple[str, ...]] = ("in_sample", "tuning", "ablation", "auc_of_half")

    champion: ChampionComparison | NotMeasured
    slices: tuple[Slice, ...]
    retention: RankRetention
    view: tuple[dict[str, Any], ...]
    tuning: tuple[TrialRow, ...] | None = None
    ablation: tuple[AblationRow, ...] | None = None
    auc_of_half: float | None = None
