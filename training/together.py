"""Together: what has to move with a feature, because both tell of the same acts."""

from collections.abc import Mapping

from features.errors import CloutError

NESTED = (
    ("credible_returning_28d", "credible_engagers_28d"),
    ("credible_engagers_7d", "credible_engagers_28d"),
    ("credible_engagers_28d", "credible_engagers_90d"),
    ("credible_engagers_90d", "credible_engagers_365d"),
    ("credible_engagers_decayed_28d", "credible_engagers_365d"),
    ("credible_steady_168d", "credible_engagers_365d"),
    ("credible_pieces_drawing_28d", "credible_pieces_drawing_90d"),
)
ABSENT, SINCE = "days_absent", "days_since_last_act"


class WhatIfError(CloutError):
    """A change is asked for that means nothing."""


def together(person: Mapping[str, float], asked: Mapping[str, float], allowance: float) -> dict[str, float]:
    """Return what follows from a change, feature by feature, by no more than it has to.

    - absence: the last act lies as many days further back, or nearer; who never acted has then acted
    - windows: whoever responded in the shorter one did so in the longer

    What else might come along, and by how much, no definition tells: it stays.

    Parameters
    ----------
    person : feature -> value, NaN where unknown
    asked : feature -> value to be
    allowance : as in `PeerValues`

    Raises
    ------
    WhatIfError : the changes asked for contradict each other

    """
    follows = _windows(person, asked)
    if asked.get(ABSENT, person[ABSENT]) != person[ABSENT]:
        follows[SINCE] = allowance + asked[ABSENT]
    return {name: value for name, value in follows.items() if name not in asked}


def _windows(person: Mapping[str, float], asked: Mapping[str, float]) -> dict[str, float]:
    """Raise the longer windows of what rises, and lower the shorter ones of what falls."""
    values = dict(person) | dict(asked)
    risen = {name for name in asked if not asked[name] <= person[name]}
    fallen = {name for name in asked if not asked[name] >= person[name]}
    for inner, outer in NESTED:
        if values[inner] > values[outer] and inner in risen:
            _check_free(asked, outer, inner)
            values[outer] = values[inner]
            risen.add(outer)
    for inner, outer in reversed(NESTED):
        if values[inner] > values[outer] and outer in fallen:
            _check_free(asked, inner, outer)
            values[inner] = values[outer]
            fallen.add(inner)
    return {name: values[name] for name in risen | fallen}


def _check_free(asked: Mapping[str, float], moved: str, by: str) -> None:
    if moved in asked:
        inner, outer = next(pair for pair in NESTED if set(pair) == {moved, by})
        raise WhatIfError(
            f"the changes contradict each other: {inner} cannot be above {outer}, which holds the same and more."
        )
