"""A change of score, split exactly into the user's own events, others' responses, time, a new model and a new scale.

In this order each step ends at a figure that can be checked: the old model's prediction for the old row, its prediction
for the new row, the new model's prediction for that row on the old scale, and on the new one.
1. From the old row to the new, under the old model, by `Bundle.move`: a feature that did not move has no part. A
   feature about the user's own events is `own`, the account's age is `time`, all others are `others`, including a count
   that fades because nobody new responded.
2. From the old model to the new on the new row, in old points: the difference of the points that they give each feature
   (SHAP values, each relative to its own baseline), and of their base points. A feature that a model does not use has
   no points in it.
3. From the old scale to the new, for the new expected audience.
4. What clipping to 0 and 100 adds or takes, after less before.

A change is also described in words: a line for everything that moved, and the few reasons that explain most of it.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
from typing_extensions import TypeAliasType

from features.catalogue import CATALOGUE
from features.catalogue.feature import Family
from features.catalogue.tenure import CLOCKS
from features.catalogue.wording import points_of
from features.errors import CatalogueError
from training.explanation.ledger import base_points, side_by_side
from training.explanation.reasons import Line, Reason, reasons
from training.model.baseline import Baseline
from training.model.bundle import Bundle

Part = TypeAliasType("Part", Literal["own", "others", "time", "model", "scale", "clipping"])
OWN: Part
OTHERS: Part
TIME: Part
MODEL: Part
SCALE: Part
CLIPPING: Part
OWN, OTHERS, TIME, MODEL, SCALE, CLIPPING = PARTS = get_args(Part.__value__)
BASE = "base"
Baselines: TypeAlias = tuple[Baseline, Baseline]  # of the model before and after


PAST = re.compile(r" Before: (?:[^.]|\.(?=\d))+\.")
HARDLY_MOVED = "Before, it was slightly different."
NUMBER = re.compile(r"((?:less than )?\d[\d,]*(?:\.\d+)?)")
# How words around a number depend on it: `about 2 posts`, `1 post`, `0.5 of a post`.
AROUND_NUMBERS = re.compile(r"\b[Aa]bout (?=\d)|(?<=\d) of an?\b|(?<=[^\Ws])s\b|\b(?:person|people)\b")
COUNTED = re.compile(
    r"([\d,]+) people responded (?:since this user appeared ([\d,]+ days?) ago|.+?) and together count as "
    r"(about [\d,]+|(?:less than )?[\d.]+(?= of an)) (?:of an )?established\b"
)


@dataclass(frozen=True)
class Changes:
    """Changes of scores, one row per user, all in points and with the index of the rows.

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


def attribute(feature: str) -> Part:
    """Return the part that a feature's move belongs to: `own`, `others` or `time`."""
    if feature in CLOCKS:
        return TIME
    return OWN if CATALOGUE[feature].actionable else OTHERS


def changes(
    before: Bundle, after: Bundle, old: pd.DataFrame, new: pd.DataFrame, baselines: Baselines | None = None
) -> Changes:
    """Split each user's change of score.

    Parameters
    ----------
    before, after : the models that made the scores
    old, new : feature rows of the same users in the same order, one column per feature, null where unknown
    baselines : whom the points of either model are relative to; None for those of the bundles

    Raises
    ------
    CatalogueError : rows lack a feature of their own model or, for the new rows, of the old one
    RegistryError : the old model has splits that are not numeric
    ValueError : the numbers of old and new rows differ

    """
    if len(old) != len(new):
        raise ValueError(f"found {len(old)} old and {len(new)} new rows; expected the same users in both.")
    _check_comparable(before, new)
    old = old.set_axis(new.index)
    moved, model = _feature_change(before, old, new), _model_change(before, after, new, baselines)
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
    """Return the positions of the largest moves, up or down, the largest first; zero moves are excluded."""
    return [int(k) for k in np.argsort(-np.abs(moves), kind="stable")[:most] if moves[k] != 0.0]


def _check_comparable(before: Bundle, new: pd.DataFrame) -> None:
    missing = [name for name in before.features if name not in new]
    if missing:
        raise CatalogueError(
            f"the new rows lack {len(missing)} of the {len(before.features)} features of the old model: "
            f"{', '.join(missing)}. The two are of different catalogues, so their difference cannot be explained; "
            "score both instants by one version of clout-score."
        )


def _same(before: Bundle, after: Bundle) -> bool:
    same = before.booster_text == after.booster_text and before.bounded == after.bounded
    return same and list(before.features) == list(after.features)


def _feature_change(bundle: Bundle, old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Return the points of each feature's move under one model."""
    nats = bundle.move(bundle.matrix(old), bundle.matrix(new))
    return pd.DataFrame(bundle.scale.points_per_nat * nats, new.index, list(bundle.features))


def _model_change(before: Bundle, after: Bundle, rows: pd.DataFrame, baselines: Baselines | None) -> pd.DataFrame:
    """Return how many more points, on the old scale, the new model gives each feature and the base."""
    if _same(before, after) or rows.empty:
        names = list(dict.fromkeys([*before.features, *after.features]))
        return pd.DataFrame(0.0, rows.index, [*names, BASE])
    baselines = baselines or (before.baseline, after.baseline)
    on_old_scale = before.scale.points_per_nat / after.scale.points_per_nat
    was, is_ = side_by_side((before, after), baselines, rows)
    base_was, base_is = map(base_points, (before, after), baselines)
    base = before.scale.from_other(after.scale, base_is)
    return (is_ * on_old_scale - was).assign(**{BASE: base - base_was})


@dataclass(frozen=True)
class ChangeLine:
    """One line of a change.

    In `own`, `others` and `time`, `before` and `after` are the feature's values, None where unknown; in `model`, both
    are the later value, or the base points; in `scale`, the points of the same expected audience; in `clipping`, what
    it added.

    Parameters
    ----------
    part : what moved the score: the user's own events, others' responses, the account's age, a new model, a new scale,
        or the limits of 0 and 100
    feature : its name, None where the line is not about a feature
    family : the feature's family, None where the line is not about a feature
    before, after : the figure at either instant
    points : what the line adds to the score
    sentence : what a reviewer reads

    """

    part: Part
    feature: str | None
    family: Family | None
    before: float | None
    after: float | None
    points: float
    sentence: str


def change_lines(
    before: Bundle, change: Changes, old: pd.DataFrame, new: pd.DataFrame, baseline: Baseline | None = None
) -> list[ChangeLine]:
    """Return the lines of one user's change, largest first; zero parts have no line.

    `before` is the old model and `baseline` its baseline, the others are result and arguments of `changes`, of one row.
    """
    figures = change.figures.iloc[0]
    lines = [
        _feature_line(str(name), old, new, points) for name, points in change.moved.iloc[0].items() if points != 0.0
    ]
    if (change.model.to_numpy() != 0.0).any():
        lines += _model_lines(base_points(before, baseline), change.model.iloc[0], new)
    if figures[SCALE] != 0.0:
        ends = (float(figures["unclipped_to"] - figures[SCALE]), float(figures["unclipped_to"]))
        sentence = f"The new scale gives the same expected audience {ends[1]:.1f} points; it was {ends[0]:.1f}."
        lines.append(ChangeLine(SCALE, None, None, *ends, float(figures[SCALE]), sentence))
    if figures[CLIPPING] != 0.0:
        was, is_ = (float(figures[f"score_{side}"] - figures[f"unclipped_{side}"]) for side in ("from", "to"))
        sentence = "Scores end at 0 and at 100."
        lines.append(ChangeLine(CLIPPING, None, None, was, is_, float(figures[CLIPPING]), sentence))
    return sorted(lines, key=lambda line: -abs(line.points))


def change_reasons(lines: list[ChangeLine]) -> tuple[list[Reason], list[Reason]]:
    """Return up to three reasons why a score rose, and why it fell, strongest first, as `reasons` selects them.

    The effects of a new model and of a new scale are one reason each, whatever the features. A feature is no reason
    where points follow its direction only together with others: more people who respond do not explain a fall.
    """
    candidates = [
        Line(line.feature, line.family or line.part, line.after, line.points, line.sentence)
        for line in lines
        if line.feature and line.part != MODEL and _explains(line)
    ]
    for part, why in ((MODEL, "A new model gives"), (SCALE, "A new scale gives")):
        points = sum(line.points for line in lines if line.part == part)
        same = "activity" if part == MODEL else "expected audience"
        sentence = f"{why} {points_of(abs(points))} {'more' if points > 0 else 'less'} for the same {same}."
        candidates.append(Line(part, part, None, points, sentence))
    return _with_past_once(*reasons(candidates))


def _with_past_once(up: list[Reason], down: list[Reason]) -> tuple[list[Reason], list[Reason]]:
    """Keep what was before in the first reason that says it, and leave it out of the others.

    One cause can move several features: that nobody who counts had responded would stand in each of their reasons.
    """
    stated: set[str] = set()

    def once(match: re.Match[str]) -> str:
        if match[0] in stated:
            return ""
        stated.add(match[0])
        return match[0]

    up, down = ([replace(one, sentence=PAST.sub(once, one.sentence)) for one in side] for side in (up, down))
    return up, down


def _explains(line: ChangeLine) -> bool:
    """Whether a feature visibly rose or fell as its points did; of a feature without a direction, days count down."""
    if line.sentence.endswith(HARDLY_MOVED):
        return False
    if line.feature is None or line.before is None or line.after is None:
        return True
    feature = CATALOGUE[line.feature]
    if feature.direction == "free":
        return True
    falls = feature.direction == "down" or (feature.direction == "none" and feature.unit == "days")
    return (line.after - line.before) * line.points * (-1 if falls else 1) > 0


def _feature_line(name: str, old: pd.DataFrame, new: pd.DataFrame, points: float) -> ChangeLine:
    was, is_ = (_value(rows, name) for rows in (old, new))
    feature = CATALOGUE[name]
    now, before = feature.describe(is_, _features(new)), feature.describe(was, _features(old))
    return ChangeLine(attribute(name), name, feature.family, was, is_, float(points), compared_with(now, before))


def compared_with(now: str, before: str) -> str:
    """Return a sentence with what it was before, as a number alone where nothing else differs."""
    if now == before:
        return f"{now} {HARDLY_MOVED}"
    words, earlier = ([word for word in NUMBER.split(AROUND_NUMBERS.sub("", text)) if word] for text in (now, before))
    numbers = [(new, old) for new, old in zip(words, earlier, strict=False) if new != old]
    people, age, members = counted.groups() if (counted := COUNTED.match(before)) else (None, None, None)
    is_older = age is not None and age not in now
    if len(words) == len(earlier) and len(numbers) == 1 and NUMBER.fullmatch(numbers[0][1]) and not is_older:
        return f"{now.removesuffix('.')}; before: {numbers[0][1]}."
    if people:
        after = f", {age} after the user appeared," if age else ":"
        return f"{now} Before{after} {people} people counted as {members}."
    return f"{now} Before: {_without_repeated(before, now)}"


def _without_repeated(before: str, now: str) -> str:
    """Return an earlier sentence without its last clause if the later one ends in the same words."""
    for mark in ("; ", " ("):
        head, _, tail = before.rpartition(mark)
        if head and now.endswith(f"{mark}{tail}"):
            return f"{head}."
    return before


def _model_lines(base: float, points: pd.Series, row: pd.DataFrame) -> list[ChangeLine]:
    """Return a line for each feature that counts for more or less, and for the base, which had so many points."""
    lines = []
    for name, moved in ((str(name), float(moved)) for name, moved in points.items() if moved != 0.0):
        if name == BASE:
            sentence = f"The starting point of all scores moved from {base:.1f} to {base + moved:.1f} points."
            lines.append(ChangeLine(MODEL, None, None, base, base + moved, moved, sentence))
        else:
            value, feature = _value(row, name), CATALOGUE[name]
            weight = "more" if moved > 0 else "less"
            sentence = f"The new model counts this for {weight}: {feature.describe(value, _features(row))}"
            lines.append(ChangeLine(MODEL, name, feature.family, value, value, moved, sentence))
    return lines


def _features(rows: pd.DataFrame) -> dict[str, float]:
    return {str(name): float(value) for name, value in rows.iloc[0].items() if name in CATALOGUE}


def _value(rows: pd.DataFrame, name: str) -> float | None:
    value = float(rows[name].iloc[0])
    return None if value != value else value
