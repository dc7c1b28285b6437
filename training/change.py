"""A change of score, split exactly into what the person did, how others responded, time, a new model, a new scale.

The order is the one in which each step is a figure that can be checked: what the old model says of the old row, what it
says of the new one, what the new model says of that on the old scale, and on the new one.
1. From the old row to the new, under the old model, by `shap_between`: a feature that did not move has no part. A
   feature about the person's own acts is `own`, the account's age is `time`, all else is `others`: also a count that
   fades because nobody new came.
2. From the old model to the new on the new row, in old points: the difference of what either makes of each feature
   (SHAP values against the average training row), and of where everybody starts. A feature that a model does not see
   counts nothing in it.
3. From the old scale to the new, for the new expected audience.
4. What ending at 0 and 100 adds or takes, after less before.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.catalogue import CATALOGUE
from features.errors import CatalogueError
from training.bundle import Bundle
from training.explanation import base_points, side_by_side
from training.shapley_between import shap_between

OWN, OTHERS, TIME, MODEL, SCALE, CLIPPING = PARTS = ("own", "others", "time", "model", "scale", "clipping")
SENIORITY = "seniority_days"
BASE = "base"


@dataclass(frozen=True)
class Changes:
    """Changes of scores, a row a user, all in points and with the index of the rows.

    Parameters
    ----------
    figures : score_from, unclipped_from, score_to, unclipped_to, and a column for each of PARTS, which add up to
        `score_to - score_from`
    moved : a column per feature of the old model; they add up to `own`, `others` and `time` (see `part_of`)
    model : a column per feature of either model, and `base`; they add up to `model`

    """

    figures: pd.DataFrame
    moved: pd.DataFrame
    model: pd.DataFrame


def part_of(feature: str) -> str:
    """Say whose a feature's move is: `own`, `others` or `time`."""
    if feature == SENIORITY:
        return TIME
    return OWN if CATALOGUE[feature].actionable else OTHERS


def changes(before: Bundle, after: Bundle, old: pd.DataFrame, new: pd.DataFrame) -> Changes:
    """Split everybody's change of score.

    Parameters
    ----------
    before, after : the models that made the scores
    old, new : feature rows of the same users in the same order, one column per feature, null where unknown

    Raises
    ------
    CatalogueError : rows lack a feature that their own model or, for the new rows, the old one sees
    RegistryError : the old model is not of numeric splits
    ValueError : the rows are not as many

    """
    if len(old) != len(new):
        raise ValueError(f"a change is from as many rows as to: {len(old)} and {len(new)}.")
    _check_comparable(before, new)
    old = old.set_axis(new.index)
    moved, model = _moved(before, old, new), _remodelled(before, after, new)
    was, stayed = (before.margin(before.matrix(rows)) if len(rows) else np.empty(0) for rows in (old, new))
    margin = stayed if _same(before, after) or new.empty else after.margin(after.matrix(new))
    figures = {
        "score_from": before.scale.points(was),
        "unclipped_from": before.scale.unclipped(was),
        "score_to": after.scale.points(margin),
        "unclipped_to": after.scale.unclipped(margin),
    }
    parts = {part: moved[[n for n in moved if part_of(str(n)) == part]].sum(axis=1) for part in (OWN, OTHERS, TIME)}
    parts[MODEL] = model.sum(axis=1)
    parts[SCALE] = after.scale.unclipped(margin) - before.scale.unclipped(margin)
    clipped = [figures[f"score_{side}"] - figures[f"unclipped_{side}"] for side in ("from", "to")]
    parts[CLIPPING] = clipped[1] - clipped[0]
    return Changes(pd.DataFrame(figures | parts, index=new.index), moved, model)


def furthest(moves: np.ndarray, most: int) -> list[int]:
    """Return where those stand who move furthest, up or down, the furthest first; whoever stays is not among them."""
    return [int(k) for k in np.argsort(-np.abs(moves), kind="stable")[:most] if moves[k] != 0.0]


def _check_comparable(before: Bundle, new: pd.DataFrame) -> None:
    lacking = [name for name in before.features if name not in new]
    if lacking:
        raise CatalogueError(
            f"the new rows lack {len(lacking)} of the {len(before.features)} features of the old model: "
            f"{', '.join(lacking)}. The two are of different catalogues, so what moved cannot be told; score both "
            "instants by one version of clout-score."
        )


def _same(before: Bundle, after: Bundle) -> bool:
    return before.booster_text == after.booster_text and list(before.features) == list(after.features)


def _moved(bundle: Bundle, old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Return the points of each feature's move under one model."""
    names = list(bundle.features)
    if new.empty:
        return pd.DataFrame(columns=names, index=new.index, dtype=float)
    nats = shap_between(bundle.trees, bundle.matrix(old), bundle.matrix(new))
    return pd.DataFrame(bundle.scale.points_per_nat * nats, new.index, names)


def _remodelled(before: Bundle, after: Bundle, rows: pd.DataFrame) -> pd.DataFrame:
    """Return by how many points of the old scale the new model makes more of each feature, and starts higher."""
    if _same(before, after) or rows.empty:
        names = list(dict.fromkeys([*before.features, *after.features]))
        return pd.DataFrame(0.0, rows.index, [*names, BASE])
    on_old_scale = before.scale.points_per_nat / after.scale.points_per_nat
    was, is_ = side_by_side(before, after, rows)
    started = before.scale.from_other(after.scale, base_points(after))
    return (is_ * on_old_scale - was).assign(**{BASE: started - base_points(before)})
