"""Slices: the figures of each group of users, and the groups for which they are weak."""

from collections.abc import Iterable
from itertools import pairwise, starmap

import numpy as np
import pandas as pd

from features.events.scopes import ALL
from training.evaluation.evaluate import BAND_EDGES, band_name, coverage, expected_over_real
from training.evaluation.metrics import auc, r2_log
from training.evaluation.report_types import Slice
from training.explanation.reasons import INSUFFICIENT, SOME, STRONG, evidence

BANDS = "people expected"
MOST_SCOPES = 12
FAIR = (0.67, 1.5)
LOWEST_AUC = 0.6
FEWEST_USERS = 50


def slices(rows: pd.DataFrame, predicted: pd.DataFrame) -> tuple[Slice, ...]:
    """Evaluate predictions within groups of users.

    Parameters
    ----------
    rows : of one instant, any scopes: scope, audience (people, realised) and the features that make the groups
    predicted : expected_audience, low and high (people) of the same rows, in the same order

    Returns
    -------
    one slice per group that has users, in the order of `groupings`. Users are grouped within the scope `all`; scopes
    are groups themselves where there are several

    """
    everywhere = (rows["scope"] == ALL).to_numpy()
    users, expected = (frame[everywhere].reset_index(drop=True) for frame in (rows, predicted))
    groups: list[Slice] = []
    for grouping, (names, codes) in groupings(users, expected).items():
        groups += _slices_of(grouping, names, codes, users, expected)
    scopes = _largest_scopes(rows)
    if len(scopes) > 1:
        codes = pd.Index(scopes).get_indexer(pd.Index(rows["scope"]))
        groups += _slices_of("scope", scopes, codes, rows, predicted)
    return tuple(groups)


def groupings(rows: pd.DataFrame, predicted: pd.DataFrame) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Assign every user to one group of each grouping.

    Expected audience in the bands of `evaluate.bands`; age from the first sight of the account, where unknown counts
    as established; evidence; posters and repliers by the share of replies among the pieces of 90 days; size by the
    people who engaged within 365 days, where unknown counts as none.

    Returns
    -------
    grouping -> the names of its groups, and per user the index of theirs

    """
    age = rows["account_age_days"].fillna(np.inf).to_numpy(float)
    replies = rows["reply_share_90d"].to_numpy(float, na_value=np.nan)
    size = rows["engagers_365d"].fillna(0).to_numpy(float)
    levels = (INSUFFICIENT, SOME, STRONG)
    bands = tuple(starmap(band_name, pairwise(BAND_EDGES)))
    ages = ("newcomer: below 28 days", "28 to 364 days", "365 days and more, or unknown")
    pieces = ("none, or unknown", "posts: replies below half", "replies: half and more")
    evidence_names = tuple(level.replace("_", " ") for level in levels)
    return {
        BANDS: (bands, np.digitize(predicted["expected_audience"], BAND_EDGES[1:-1])),
        "account age": (ages, np.digitize(age, (28, 365))),
        "evidence": (evidence_names, pd.Index(levels).get_indexer(pd.Index(evidence(rows)))),
        "posts and replies of 90 days": (pieces, np.where(np.isnan(replies), 0, np.where(replies < 0.5, 1, 2))),
        "engagers in 365 days": (("0", "1 to 2", "3 to 9", "10 and more"), np.digitize(size, (1, 3, 10))),
    }


def weaknesses(groups: Iterable[Slice]) -> list[str]:
    """Describe the groups whose figures are not reliable, one sentence each.

    Weak is a total outside 0.67 to 1.5, an AUC below 0.6 (not for bands of expected audience, within which users are
    alike by construction), or fewer than 50 users.
    """
    return [f"{item.grouping}, {item.group}: {' and '.join(flaws)}" for item in groups if (flaws := _flaws(item))]


def _flaws(group: Slice) -> list[str]:
    low, high = FAIR
    flaws = [f"{group.users} users"] if group.users < FEWEST_USERS else []
    if not low <= group.total <= high:
        flaws.append(f"{group.total:.2f} times the real audience is expected")
    if group.grouping != BANDS and group.auc is not None and group.auc < LOWEST_AUC:
        flaws.append(f"AUC is {group.auc:.2f}")
    return flaws


def _largest_scopes(rows: pd.DataFrame) -> tuple[str, ...]:
    """Return the scopes with most users, at most 12, largest first and equal ones by name."""
    users = rows.groupby("scope").size()
    return tuple(users.sort_values(ascending=False, kind="stable").index[:MOST_SCOPES])


def _slices_of(
    grouping: str, names: tuple[str, ...], codes: np.ndarray, rows: pd.DataFrame, predicted: pd.DataFrame
) -> list[Slice]:
    """Evaluate the groups that have users; rows whose code is -1 belong to none of them."""
    audience = rows["audience"].to_numpy(float)
    members = [(name, np.flatnonzero(codes == k)) for k, name in enumerate(names)]
    return [_slice(grouping, name, audience[index], predicted.iloc[index]) for name, index in members if len(index)]


def _slice(grouping: str, group: str, audience: np.ndarray, predicted: pd.DataFrame) -> Slice:
    expected, positive = predicted["expected_audience"].to_numpy(float), audience > 0
    mixed = bool(positive.any() and not positive.all())
    return Slice(
        grouping=grouping,
        group=group,
        users=len(audience),
        share_with_audience=float(positive.mean()),
        expected=float(expected.mean()),
        audience=float(audience.mean()),
        total=expected_over_real(audience, predicted),
        auc=auc(audience, expected, expected) if mixed else None,
        r2_log=r2_log(audience, expected, expected),
        coverage=coverage(audience, predicted),
        width=float((predicted["high"] - predicted["low"]).mean()),
    )
