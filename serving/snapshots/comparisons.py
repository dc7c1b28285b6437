"""What a user's figure is compared with: what gives about the average, or else a share of the active users."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from features.aggregates import windows
from features.aggregates.windows import LOOKBACK_DAYS
from features.catalogue.credible_wording import EXCEPT_EXCHANGES, LATELY, NEVER
from features.catalogue.originality import EXCESS_REPETITIONS, FREE_REPETITIONS
from features.catalogue.responder_rate import MONTH_DAYS, RATES, ResponderRate
from features.catalogue.wording import LEAST_SHOWN, WHOLE_FROM, count_of
from training.explanation.feature_constraints import ABSENT, AGE, SINCE
from training.explanation.possible_changes import POSTS
from training.explanation.reasons import LEAST_POINTS, PERIODS, SILENT, Line
from training.model.bundle import FeatureRow

PERIODS_DAYS = windows.PERIODS * MONTH_DAYS
TENURE, POSTS_DAYS = "tenure_days", 90
PRECISE_BELOW = 99.95  # averages have a decimal
COUNTED_PERIODS = re.compile(r" came in (?=\d|about)")
SOME_POSTS, NEWCOMER = re.compile(r"(About )?\d"), "since this user appeared"

BECAUSE = ", because "
END_OF_CLAUSE = re.compile(rf"; |{BECAUSE}|\.$")
ACTIVE = "active"
RECENT = f"under {MONTH_DAYS}"
UNDER = "under 0.1"
HALF = 50  # percent of the active users
Amount: TypeAlias = Callable[[float, FeatureRow], float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What stands behind a user's figure.

    Parameters
    ----------
    average : what gives about the average, as text; empty where it is not known, contradicts the points or is printed
        as the user's figure is, and where a share explains the points instead
    text : what a sentence says in brackets; empty where nothing explains the points

    """

    average: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Compares the figures of one user.

    Parameters
    ----------
    row : the user's features
    averages : whether averages are known
    percentiles : of the active users; see `Baseline`

    """

    row: FeatureRow
    averages: bool = False
    percentiles: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def of(self, line: Line, points: float) -> Comparison:
        """Compare a figure with the average, or with the share of active users that explains the points instead.

        A last response is compared with an average within the 28 days that count the same only if no share explains it.
        `points` are those of all features that say the same.
        """
        average = "" if _is_of_newcomer(line, self.row) else _average(line, self.row)
        if line.feature in WITHOUT_AVERAGE:
            return Comparison(average)
        if average and average != RECENT:
            return Comparison(average, _in_words(average, line, self.row))
        share = ""
        if line.feature in AS_MUCH and line.feature in self.percentiles and abs(points) >= LEAST_POINTS:
            share = _share(line, points, self.row, self.percentiles[line.feature])
        return Comparison("", share) if share else Comparison(average, _in_words(average, line, self.row))

    def contradict(self, line: Line) -> bool:
        """Say whether nothing explains the points of a figure that is compared: they come from other facts too."""
        if line.feature in SILENT:
            return line.feature in self.percentiles and not self._explain(line)
        return self.averages and line.feature in COMPARED and not self._explain(line)

    def _explain(self, line: Line) -> bool:
        return any(_average(part, self.row) or self.of(part, part.points).text for part in line.parts or (line,))


def compared(sentence: str, line: Line, comparison: Comparison) -> str:
    """Put a comparison behind the first clause, which holds the user's number; fewer periods are "only" so many.

    So are fewer posts of a newcomer, which nothing is compared with.
    """
    if not comparison.text:
        few = line.feature == POSTS and line.points < 0 and NEWCOMER in sentence
        return f"Only {sentence[0].lower()}{sentence[1:]}" if few and SOME_POSTS.match(sentence) else sentence
    if line.feature in PERIODS:
        some = COUNTED_PERIODS.sub(" came in only ", sentence) if line.points < 0 else sentence
        text, exchanges, _ = some.removesuffix(".").partition(EXCEPT_EXCHANGES)
        return f"{text} ({comparison.text}){exchanges}."
    return END_OF_CLAUSE.sub(lambda end: f" ({comparison.text}){end[0]}", sentence, count=1)


def _average(line: Line, row: FeatureRow) -> str:
    """Return what gives about the average as a figure; empty where it is unknown or printed as the user's is."""
    if line.feature == ABSENT:
        return ACTIVE
    if line.typical is None or line.feature not in AMOUNTS or line.feature in WITHOUT_AVERAGE:
        return ""
    amount = AMOUNTS[line.feature]
    exact = amount(line.typical, row)
    typical = round(exact, 0 if line.feature in DAYS else 1)
    if line.value is not None:
        value = rounded(amount(line.value, row))
        more = line.typical > line.value
        if value == typical or (typical > value) != more:
            return ""
    return UNDER if 0 < exact < LEAST_SHOWN else _shown(line.feature, typical)


def _is_of_newcomer(line: Line, row: FeatureRow) -> bool:
    """Return whether others' figures are of more days than the user has been here."""
    if line.feature == POSTS:
        return row[AGE] < POSTS_DAYS
    return line.feature in RATES and row[AGE] < RATES[line.feature].few_days


def _in_words(average: str, line: Line, row: FeatureRow) -> str:
    """Return the average with its unit and its time; empty for none."""
    if not average:
        return ""
    if line.feature in RATES:
        return _average_of_rate(average, line, row)
    if line.feature in PERIODS:
        return f"average: in {average} of {'the last six' if row[AGE] < PERIODS_DAYS else 'them'}"
    if line.feature in SILENT and average == RECENT:
        return f"average: in the last {MONTH_DAYS} days"
    if line.feature in SILENT and (line.value or 0.0) >= NEVER:
        return f"average: somebody {average} days ago"
    if line.feature == LATELY:
        return f"average: {_members(average)}"
    if line.feature == POSTS:
        return f"average: {average} {'post' if average == '1' else 'posts'}"
    return f"average: {average}{' days ago' if line.feature in DAYS and average[-1].isdigit() else ''}"


def _average_of_rate(average: str, line: Line, row: FeatureRow) -> str:
    counted, *_ = line.sentence.split(BECAUSE)
    established = "" if "established member" in counted else "established "
    within = f" in {count_of(math.floor(row[AGE]), 'day')}" if row[AGE] < LOOKBACK_DAYS else ""
    return f"average{within}: {_members(average, established)}"


def _members(average: str, which: str = "") -> str:
    return f"{average} {which}member{'' if average == '1' else 's'}"


def _share(line: Line, points: float, row: FeatureRow, percentiles: Sequence[float]) -> str:
    """Return how many active users have as much where points are added, and more where they are taken.

    It explains points that are added if at most half have as much, and points that are taken if at least half have
    more. Figures are compared as printed, and shares rounded so that they explain less.
    """
    if line.value is None:
        return ""
    own = _as_printed(line.feature, line.value, row)
    figures = [_as_printed(line.feature, value, row) for value in percentiles]
    not_more, less = sum(figure <= own for figure in figures), sum(figure < own for figure in figures)
    as_much, more = (100 - less, 99 - not_more) if line.feature not in SILENT else (min(not_more + 1, 100), less)
    if points > 0 and as_much <= HALF:
        return f"{as_much}% of active users {_have(line, row, AS_MUCH)}"
    return f"{more}% of active users {_have(line, row, MORE)}" if points < 0 and more >= HALF else ""


def _as_printed(feature: str, value: float, row: FeatureRow) -> float:
    """Return a figure as printed, so that those which read the same are equal."""
    return 0.0 if feature in SILENT and not value else rounded(AMOUNTS[feature](value, row))


def _have(line: Line, row: FeatureRow, words: Mapping[str, str]) -> str:
    """Say what others have: such a response as the last one."""
    if line.feature not in SILENT:
        return words[line.feature]
    value = line.value or 0.0
    if value:
        return f"had such a response{'' if value >= NEVER else words[line.feature]}"
    within = f" in the last {MONTH_DAYS} days" if row[AGE] < MONTH_DAYS else ""
    return f"had such a response{within}"


def value_shown(feature: str, value: float | None, row: FeatureRow) -> str:
    """Return a user's figure as text; empty where none is shown."""
    if feature not in AMOUNTS:
        return ""
    if value is None:
        return "none"
    amount = AMOUNTS[feature](value, row)
    if math.isinf(amount) and row[AGE] < LOOKBACK_DAYS:
        return "none"
    return UNDER if 0 < amount < LEAST_SHOWN else _shown(feature, rounded(amount))


def rounded(amount: float) -> float:
    """Round a user's amount as sentences do: small ones have a decimal."""
    return math.floor(amount + 0.5) if WHOLE_FROM <= amount < math.inf else round(amount, 1)


def _shown(feature: str, amount: float) -> str:
    """Return a rounded amount as text."""
    if math.isinf(amount):
        return "none in a year"
    if math.isnan(amount):
        return "never"
    if feature in SILENT and amount <= MONTH_DAYS:
        return RECENT
    return f"{amount:,.1f}".removesuffix(".0") if amount < PRECISE_BELOW else f"{amount:,.0f}"


def _itself(value: float, _: FeatureRow) -> float:
    return value


def _responders(rate: ResponderRate, value: float, row: FeatureRow) -> float:
    return rate.responders(value, row[AGE])


def _days(value: float, _: FeatureRow) -> float:
    return math.nan if math.isnan(value) else math.floor(value)


def _silence(days: float, row: FeatureRow) -> float:
    return math.inf if days >= NEVER else _days(MONTH_DAYS + days, row)


AMOUNTS: dict[str, Amount] = {
    **{name: partial(_responders, rate) for name, rate in RATES.items()},
    **dict.fromkeys((LATELY, POSTS, *PERIODS), _itself),
    **dict.fromkeys(SILENT, _silence),
    TENURE: _days,
    ABSENT: lambda days, row: _days(row.get(SINCE, days), row),
    EXCESS_REPETITIONS: lambda excess, _: excess + FREE_REPETITIONS,
}
DAYS = {*SILENT, TENURE}
WITHOUT_AVERAGE = {ABSENT, EXCESS_REPETITIONS}
COUNTS = (POSTS, *PERIODS)
COMPARED = {*COUNTS, TENURE}
AS_MUCH = {
    LATELY: "have at least as much",
    TENURE: "have been here at least as long",
    **dict.fromkeys(COUNTS, "have at least as many"),
    **dict.fromkeys(SILENT, " as recently"),
}
MORE = {
    LATELY: "have more",
    TENURE: "have been here longer",
    **dict.fromkeys(COUNTS, "have more"),
    **dict.fromkeys(SILENT, " more recently"),
}
