"""Retention of rank: whether those on top one month are still there the next."""

import math

import pandas as pd

TOP_SHARES = (0.01, 0.05, 0.1, 0.25)


def rank_retention(earlier: pd.DataFrame, later: pd.DataFrame) -> dict:
    """Tell how many of the highest of one instant are among the highest of the next.

    The first `share` of n users are those whose score is not below that of the user at place `ceil(share * n)`, so
    that users with equal scores are in or out together. Chance would keep a share `share` of them.

    Parameters
    ----------
    earlier, later : columns user and score, by the same model; a user has at most one row in each

    Returns
    -------
    `users` of both instants, of whom `both` are in both; `spearman`, the rank correlation over those (None where their
    scores do not differ); and per share of `top` the `users` who were in it, the share of them `kept` in it, and the
    share who have `left` and have no score any more

    """
    joined = earlier.merge(later, on="user", how="left", suffixes=("_then", "_now"))
    ranks = joined[["score_then", "score_now"]].dropna().rank()
    varied = bool((ranks.max() > ranks.min()).all())
    top = []
    for share in TOP_SHARES:
        now = joined.loc[joined["score_then"] >= _last_of(share, earlier["score"]), "score_now"]
        kept, left = (now >= _last_of(share, later["score"])).sum(), now.isna().sum()
        of = max(len(now), 1)
        top.append({"share": share, "users": len(now), "kept": float(kept / of), "left": float(left / of)})
    return {
        "users": [len(earlier), len(later)],
        "both": len(ranks),
        "spearman": float(ranks["score_then"].corr(ranks["score_now"])) if varied else None,
        "top": top,
    }


def _last_of(share: float, score: pd.Series) -> float:
    """Return the score of the last user of the first share, NaN where there is nobody."""
    return float(score.nlargest(math.ceil(share * len(score))).min())
