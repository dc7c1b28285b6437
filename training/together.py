"""Together: what has to move with a feature, because both tell of the same acts."""

import math
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
SHARE, MOST = "repeated_share_90d", "most_repeated_90d"
WITHIN, PER_PIECE, PIECES = "credible_engagers_90d", "credible_engagers_per_piece_90d", "created_90d"
ROUNDING = 1e-9


class WhatIfError(CloutError):
    """A change is asked for that means nothing."""


def together(person: Mapping[str, float], asked: Mapping[str, float], allowance: float) -> dict[str, float]:
    """Return what follows from a change, feature by feature, by no more than it has to.

    - absence: the last act lies as many days further back, or nearer
    - repetition: among n pieces that hold the most repeated one m times, the share that repeats lies between
      (m - 1) / n and 1 - 1 / m, and is 0 where m is 1
    - windows: whoever responded in the shorter one did so in the longer
    - people per piece: of the people of 90 days

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
    follows = _windows(person, asked) | _repetition(person, asked)
    if ABSENT in asked:
        since = person[SINCE]
        follows[SINCE] = allowance + asked[ABSENT] if asked[ABSENT] > 0 else min(allowance, since)
    made, people = person[PIECES], {**follows, **asked}.get(WITHIN)
    if people is not None and made > 0:
        follows.setdefault(PER_PIECE, people / made)
    return {name: value for name, value in follows.items() if name not in asked}


def _repetition(person: Mapping[str, float], asked: Mapping[str, float]) -> dict[str, float]:
    made = person[PIECES]
    if SHARE in asked and MOST in asked:
        _check_repetition(asked[SHARE], asked[MOST])
    elif SHARE in asked:
        share = asked[SHARE]
        least = math.ceil(1 / (1 - share) - ROUNDING)
        most = math.floor(1 + share * made + ROUNDING) if made > 0 else math.inf
        held = person[MOST] if person[MOST] == person[MOST] else least
        return {MOST: float(1 if share == 0 else max(min(held, most), least, 2))}
    elif MOST in asked:
        times = asked[MOST]
        highest, least_share = 1 - 1 / times, (times - 1) / max(made, times) if made > 0 else 0.0
        held = person[SHARE] if person[SHARE] == person[SHARE] else highest
        return {SHARE: max(min(held, highest), least_share)}
    return {}


def _check_repetition(share: float, most: float) -> None:
    if share > 1 - 1 / most + ROUNDING or (share == 0) != (most == 1):
        raise WhatIfError(
            f"{SHARE} {share:g} and {MOST} {most:g} contradict each other: where the most repeated piece was made m "
            "times, a share of at most 1 - 1/m repeats, and none where m is 1. Set one of the two; the other follows."
        )


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
