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

A change in words: a line for everything that moved, and the few reasons that say most of it.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.catalogue import CATALOGUE
from features.errors import CatalogueError
from training.explanation.ledger import base_points, side_by_side
from training.explanation.reasons import Line, Reason, reasons
from training.model.bundle import Bundle
from training.model.trees.baseline_shapley import shap_between

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
    moved : a column per feature of the old model; they add up to `own`, `others` and `time` (see `attribute`)
    model : a column per feature of either model, and `base`; they add up to `model`

    """

    figures: pd.DataFrame
    moved: pd.DataFrame
    model: pd.DataFrame


def attribute(feature: str) -> str:
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
    parts = {part: moved[[n for n in moved if attribute(str(n)) == part]].sum(axis=1) for part in (OWN, OTHERS, TIME)}
    parts[MODEL] = model.sum(axis=1)
    parts[SCALE] = after.scale.unclipped(margin) - before.scale.unclipped(margin)
    clipped = [figures[f"score_{side}"] - figures[f"unclipped_{side}"] for side in ("from", "to")]
    parts[CLIPPING] = clipped[1] - clipped[0]
    return Changes(pd.DataFrame(figures | parts, index=new.index), moved, model)


def top_movers(moves: np.ndarray, most: int) -> list[int]:
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


UNKNOWN = "unknown"


@dataclass(frozen=True)
class ChangeLine:
    """One line of a change.

    `part` is one of PARTS. Of what moved (`own`, `others`, `time`), `before` and `after` are the feature's values, None
    where unknown; of the `model`, both are the later one, or the points where everybody starts; of the `scale`, the
    points of the same expected audience; of the `clipping`, what it added. `feature` and `family` are
    None where a line is of none.
    """

    part: str
    feature: str | None
    family: str | None
    before: float | None
    after: float | None
    points: float
    sentence: str


def change_lines(before: Bundle, made: Changes, old: pd.DataFrame, new: pd.DataFrame) -> list[ChangeLine]:
    """Return the lines of one user's change, largest first within each part; what moves nothing has none.

    Parameters
    ----------
    before : the old model
    made, old, new : as `changes` gives and takes them, of one row

    """
    figures = made.figures.iloc[0]
    lines = [
        _line_sentence(str(name), old, new, points) for name, points in made.moved.iloc[0].items() if points != 0.0
    ]
    if (made.model.to_numpy() != 0.0).any():
        lines += _model_sentence(before, made.model.iloc[0], new)
    if figures[SCALE] != 0.0:
        ends = (float(figures["unclipped_to"] - figures[SCALE]), float(figures["unclipped_to"]))
        told = f"On the new scale, the same expected audience is {ends[1]:.1f} points and no longer {ends[0]:.1f}."
        lines.append(ChangeLine(SCALE, None, None, *ends, float(figures[SCALE]), told))
    if figures[CLIPPING] != 0.0:
        was, is_ = (float(figures[f"score_{side}"] - figures[f"unclipped_{side}"]) for side in ("from", "to"))
        told = "Scores end at 0 and at 100."
        lines.append(ChangeLine(CLIPPING, None, None, was, is_, float(figures[CLIPPING]), told))
    return sorted(lines, key=lambda line: -abs(line.points))


def change_reasons(lines: list[ChangeLine], sign: int) -> list[Reason]:
    """Return up to four reasons why a score rose (+1) or fell (-1), strongest first, as `reasons` chooses them.

    What a new model and a new scale do by themselves is one reason each, whatever features they do it by.
    """
    told = [
        Line(line.feature, line.family or line.part, line.after, line.points, line.sentence)
        for line in lines
        if line.feature and line.part != MODEL
    ]
    for part, why in ((MODEL, "A new model expects"), (SCALE, "A new scale alone gives")):
        points = sum(line.points for line in lines if line.part == part)
        told.append(Line(part, part, None, points, _by_itself(why, points)))
    return reasons(told, sign)


def _by_itself(why: str, points: float) -> str:
    return f"{why} {abs(points):.1f} points {'more' if points > 0 else 'less'} for the same facts."


def _line_sentence(name: str, old: pd.DataFrame, new: pd.DataFrame, points: float) -> ChangeLine:
    was, is_ = (_value(rows, name) for rows in (old, new))
    feature = CATALOGUE[name]
    told = feature.sentence.format(value=f"{_said(was, feature.unit)} -> {_said(is_, feature.unit)}")
    return ChangeLine(attribute(name), name, feature.family, was, is_, float(points), told[0].upper() + told[1:])


def _model_sentence(before: Bundle, points: pd.Series, row: pd.DataFrame) -> list[ChangeLine]:
    """Tell the features that count for more or less, and where everybody starts."""
    lines = []
    for name, moved in ((str(name), float(moved)) for name, moved in points.items() if moved != 0.0):
        if name == BASE:
            was, is_ = base_points(before), base_points(before) + moved
            told = f"Where everybody starts is at {is_:.1f} points and no longer at {was:.1f}."
            lines.append(ChangeLine(MODEL, None, None, was, is_, moved, told))
        else:
            value, feature = _value(row, name), CATALOGUE[name]
            told = f"The new model makes {'more' if moved > 0 else 'less'} of this: {feature.describe(value)}"
            lines.append(ChangeLine(MODEL, name, feature.family, value, value, moved, told))
    return lines


def _value(rows: pd.DataFrame, name: str) -> float | None:
    value = float(rows[name].iloc[0])
    return None if value != value else value


def _said(value: float | None, unit: str) -> str:
    if value is None:
        return UNKNOWN
    if unit == "share":
        return f"{value:.0%}"
    return f"{value:,.0f}" if abs(value - round(value)) < 1e-9 or abs(value) >= 100 else f"{value:,.2f}"
