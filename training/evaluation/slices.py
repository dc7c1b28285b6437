"""Slices: whether the figures hold for each group of users, and not on average alone."""

from itertools import pairwise, starmap

import numpy as np
import pandas as pd

from features.events.scopes import ALL
from training.evaluation.evaluate import BAND_EDGES, band_name, calibration_figures
from training.evaluation.metrics import auc, r2_log
from training.explanation.reasons import INSUFFICIENT, SOME, STRONG, evidence

BANDS = "people expected"
MOST_SCOPES = 12
FAIR = (0.67, 1.5)
LOWEST_AUC = 0.6
FEWEST_USERS = 50


def slices(rows: pd.DataFrame, predicted: pd.DataFrame) -> list[dict]:
    """Judge predictions within groups of users.

    Parameters
    ----------
    rows : of one instant, any scopes: scope, audience (people, realised) and the features that make the groups
    predicted : expected_audience, low and high (people) of the same rows, in the same order

    Returns
    -------
    one dictionary per group that holds anybody, in the order of `groupings`: grouping, group, users, `heard` (share
    with an audience), `expected` and `audience` (mean people), `total` (expected over real), `auc` (None where all or
    nobody is heard), `r2_log`, `coverage` of the interval and its mean `width` (people). Users are grouped within the
    scope `all`; scopes are groups themselves where there are several

    """
    rows, predicted = rows.reset_index(drop=True), predicted.reset_index(drop=True)
    everywhere = (rows["scope"] == ALL).to_numpy()
    users, foretold = (frame[everywhere].reset_index(drop=True) for frame in (rows, predicted))
    found = []
    for grouping, (names, place) in groupings(users, foretold).items():
        found += _judged(grouping, names, place, users, foretold)
    names = _largest_scopes(rows)
    if len(names) > 1:
        found += _judged("scope", names, pd.Index(names).get_indexer(pd.Index(rows["scope"])), rows, predicted)
    return found


def groupings(rows: pd.DataFrame, predicted: pd.DataFrame) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Put every user in one group of each grouping: its groups' names, and per user the place of theirs among them.

    Expected audience in the bands of `evaluation.bands`; age from the first sight of the account, where unknown counts
    as established; evidence; posters and repliers by the share of replies among the pieces of 90 days; size by the
    people who engaged within 365 days, where unknown counts as none.
    """
    age = rows["account_age_days"].fillna(np.inf).to_numpy(float)
    replies = rows["reply_share_90d"].to_numpy(float, na_value=np.nan)
    size = rows["engagers_365d"].fillna(0).to_numpy(float)
    levels = (INSUFFICIENT, SOME, STRONG)
    return {
        BANDS: (
            tuple(starmap(band_name, pairwise(BAND_EDGES))),
            np.digitize(predicted["expected_audience"], BAND_EDGES[1:-1]),
        ),
        "account age": (
            ("newcomer: below 28 days", "28 to 364 days", "365 days and more, or unknown"),
            np.digitize(age, (28, 365)),
        ),
        "evidence": (
            tuple(level.replace("_", " ") for level in levels),
            pd.Index(levels).get_indexer(pd.Index(evidence(rows))),
        ),
        "pieces of 90 days": (
            ("none, or unknown", "posts: replies below half", "replies: half and more"),
            np.where(np.isnan(replies), 0, np.where(replies < 0.5, 1, 2)),
        ),
        "engagers in 365 days": (("0", "1 to 2", "3 to 9", "10 and more"), np.digitize(size, (1, 3, 10))),
    }


def weaknesses(found: list[dict]) -> list[str]:
    """Name the groups on which little should rest, one sentence each.

    Weak is a total outside 0.67 to 1.5, an AUC below 0.6 (not asked of bands of expected audience, within which users
    are alike by their making), or fewer than 50 users.
    """
    return [f"{held['grouping']}, {held['group']}: {' and '.join(why)}" for held in found if (why := _lacks(held))]


def _lacks(held: dict) -> list[str]:
    low, high = FAIR
    few, off = held["users"] < FEWEST_USERS, not low <= held["total"] <= high
    blind = held["grouping"] != BANDS and held["auc"] is not None and held["auc"] < LOWEST_AUC
    told = [f"{held['users']} users", f"expected / real is {held['total']:.2f}"]
    told += [f"AUC is {held['auc']:.2f}"] if blind else []
    return [why for why, so in zip(told, (few, off, blind), strict=False) if so]


def _largest_scopes(rows: pd.DataFrame) -> tuple[str, ...]:
    """Return the scopes with most users, at most 12, largest first and equal ones by name."""
    users = rows.groupby("scope").size()
    return tuple(users.sort_values(ascending=False, kind="stable").index[:MOST_SCOPES])


def _judged(
    grouping: str, names: tuple[str, ...], place: np.ndarray, rows: pd.DataFrame, predicted: pd.DataFrame
) -> list[dict]:
    """Judge the groups that hold anybody; rows whose place is -1 are in none of them."""
    audience = rows["audience"].to_numpy(float)
    groups = [(name, np.flatnonzero(place == k)) for k, name in enumerate(names)]
    return [
        {"grouping": grouping, "group": name} | _figures(audience[pick], predicted.iloc[pick])
        for name, pick in groups
        if len(pick)
    ]


def _figures(audience: np.ndarray, predicted: pd.DataFrame) -> dict:
    expected, heard = predicted["expected_audience"].to_numpy(float), audience > 0
    held = calibration_figures(audience, predicted)
    mixed = bool(heard.any() and not heard.all())
    return {
        "users": len(audience),
        "heard": float(heard.mean()),
        "expected": float(expected.mean()),
        "audience": float(audience.mean()),
        "total": held["total"],
        "auc": auc(audience, expected, expected) if mixed else None,
        "r2_log": r2_log(audience, expected, expected),
        "coverage": held["coverage"],
        "width": float((predicted["high"] - predicted["low"]).mean()),
    }
