"""The definition of a feature, and the catalogue: an ordered set of features."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Literal

import ibis.expr.types as ir

from features.catalogue.rewordings import EARLIER_FINGERPRINTS
from features.catalogue.wording import Row, Sentence, without_nan

Family = Literal["reach", "response", "persistence", "network", "cadence", "originality"]
Received = Literal["pairs", "follows", "engagements", "pieces", "topics", "engagers", "credibility", "responders"]
Own = Literal["followed", "engaged_users", "own_events", "recent_events", "created", "contents"]
Relation = Literal[Received, Own, "weeks_active", "days_active", "histories", "users"]
Direction = Literal["up", "down", "free", "none"]
NO_FEATURES: Row = MappingProxyType({})


@dataclass(frozen=True)
class Feature:
    """One measured fact about a user at an instant.

    Parameters
    ----------
    name : with its window or unit, such as `engagers_28d`
    meaning : the definition in plain words; a feature that means something else needs another name
    sentence : what a reviewer reads: a text with `{value}` in it, or a function of the value and the user's row
    value : a function of the relation, which returns the expression
    family : reach, response, persistence, network, cadence or originality
    unit : of the value, such as `people` or `days`
    relation : the relation it is computed over; `users` for features derived from others of the row
    direction : the only way in which a larger value may move the score of a model that uses it (`up`, `down`), `free`,
        or `none`: no model uses it
    actionable : whether the user can act on it
    default : the value where a user has no row in the relation, or the expression is null: 0 for counts; None leaves it
        unknown
    title : a short name for charts; empty where the words of the name will do

    """

    name: str
    meaning: str
    sentence: str | Sentence
    value: Callable[[ir.Table], ir.Value]
    family: Family
    unit: str
    relation: Relation
    direction: Direction
    actionable: bool = False
    default: float | None = 0.0
    title: str = ""

    @cached_property
    def fingerprint(self) -> str:
        """Twelve hex digits that change with the name, unit, meaning or direction."""
        content = json.dumps([self.name, self.unit, self.meaning, self.direction])
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    def has_fingerprint(self, fingerprint: str) -> bool:
        """Return whether a fingerprint is this feature's, or was before its meaning was reworded."""
        return fingerprint in (self.fingerprint, EARLIER_FINGERPRINTS.get(self.name))

    @property
    def actionable_text(self) -> str:
        """Whether the user can act on it: yes or no."""
        return "yes" if self.actionable else "no"

    @property
    def example_sentence(self) -> str:
        """The reviewer's sentence about a user with 12 of the unit, or 12 %."""
        return self.describe(0.12 if self.unit == "share" else 12.0)

    def describe(self, value: float | None, row: Row = NO_FEATURES) -> str:
        """Return the reviewer's sentence about a user; `value` is None or NaN where unknown, `row` their features."""
        number = without_nan(value)
        if not isinstance(self.sentence, str):
            return self.sentence(number, row)
        if value is None or number is None:
            return f"Not known: {self.name.replace('_', ' ')}."
        text = f"{value:,.0f}" if abs(value - round(value)) < 1e-9 or abs(value) >= 100 else f"{value:,.2f}"
        return self.sentence.format(value=f"{value:.0%}" if self.unit == "share" else text)


class Catalogue:
    """An ordered set of features.

    Raises
    ------
    ValueError : two features share a name

    """

    def __init__(self, features: Iterable[Feature]):
        self._features: dict[str, Feature] = {}
        for feature in features:
            if feature.name in self._features:
                raise ValueError(f"two features are called {feature.name}")
            self._features[feature.name] = feature

    def __iter__(self) -> Iterator[Feature]:
        return iter(self._features.values())

    def __len__(self) -> int:
        return len(self._features)

    def __contains__(self, name: object) -> bool:
        return name in self._features

    def __getitem__(self, name: str) -> Feature:
        return self._features[name]

    @property
    def names(self) -> list[str]:
        """The names, in order."""
        return list(self._features)

    def select(self, *names: str) -> "Catalogue":
        """Return some features by name, in the order of this catalogue."""
        return Catalogue(feature for feature in self if feature.name in names)

    def of_relation(self, relation: Relation) -> list[Feature]:
        """Return the features of one relation, in order."""
        return [feature for feature in self if feature.relation == relation]

    def as_rows(self) -> list[list[str]]:
        """Return the catalogue as a table of texts: the names of the columns, then one row per feature."""
        head = ["feature", "family", "unit", "direction", "actionable", "meaning"]
        return [head, *([f.name, f.family, f.unit, f.direction, f.actionable_text, f.meaning] for f in self)]

    def as_markdown(self) -> str:
        """Return the catalogue as a Markdown table, one row per feature."""
        head, *rows = self.as_rows()
        cells = [head, ["---"] * len(head), *([f"`{name}`", *rest] for name, *rest in rows)]
        return "\n".join("| " + " | ".join(row) + " |" for row in cells)

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that change with any feature or their order."""
        return hashlib.sha256("".join(feature.fingerprint for feature in self).encode()).hexdigest()[:12]
