"""The plan of a feature table: which relations and columns some features need."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import ibis
import ibis.expr.types as ir
from ibis.expr.operations import Field

from features.aggregates.relations import DATED_COLUMNS, PAIR_COLUMNS, PIECE_COLUMNS, RESPONSE_COLUMNS
from features.aggregates.windows import LATE_DAYS, RECENT_DAYS
from features.catalogue import CATALOGUE
from features.catalogue.feature import Feature, Relation
from features.errors import CatalogueError, did_you_mean

# Columns that derived features read and that are not features themselves, and the relation each is computed over.
EXTRA_COLUMNS: dict[str, Relation] = {
    "history": "histories",
    "first_act_age": "own_events",
    "first_engaged_age": "pairs",
    "new_pieces": "created",
    "new_pieces_drawing": "pieces",
    "unknown_pieces": "pieces",
}
EXTRA_OF_PIECES = {"new_pieces_drawing": "created_age", "unknown_pieces": "unknown"}  # and the column each reads
# Columns of the last 90 days' events and the relations that read them; features over a relation may read others.
RECENT_COLUMNS: dict[str, Relation] = {"object": "pieces", "made": "created", "content": "contents", "topics": "topics"}
RECENT_TYPES = {"verb": "int8", "age": "int64", "creation": "boolean", "links": "int64", "other": "int64"}
RESPONDER_TYPES = dict.fromkeys(
    ("user", "other", "last_age", "first_age", "weeks", "breadth", "passed", "vouched", "presence", "weight"), "int64"
) | {"mutual": "boolean", "returned": "boolean", "selectivity": "float64"}
PAIR_TYPES = dict.fromkeys(("user", "other", *PAIR_COLUMNS), "int64")
PIECE_TYPES = dict.fromkeys(("user", "piece", *PIECE_COLUMNS), "int64")
CREDIBILITY_RELATIONS: tuple[Relation, ...] = ("credibility", "responders", "pieces")
PAIR_RELATIONS: tuple[Relation, ...] = ("pairs", "engagers", "engaged_users", *CREDIBILITY_RELATIONS)
RECENT_RELATIONS: tuple[Relation, ...] = (
    *("engagements", "recent_events", "days_active", "created", "pieces", "contents", "topics"),
)
# How many tables are materialized on the way, beside one per relation, where any of the relations is needed.
INTERMEDIATE_TABLES: dict[tuple[Relation, ...], int] = {
    ("own_events",): 1,
    ("follows", "followed"): 1,
    PAIR_RELATIONS: 1,
    ("engagers", "engaged_users"): 1,
    CREDIBILITY_RELATIONS: 8,
    RECENT_RELATIONS: 1,
    ("created",): 1,
}


@dataclass(frozen=True)
class FeaturePlan:
    """What has to be computed for some features.

    Parameters
    ----------
    names : the features, in the order of CATALOGUE
    measured : the features computed over a relation: those of `names`, and those that derived features read
    extra : the columns of EXTRA_COLUMNS that derived features read

    """

    names: tuple[str, ...]
    measured: tuple[Feature, ...]
    extra: tuple[str, ...]

    @cached_property
    def relations(self) -> frozenset[Relation]:
        """The relations to compute: those of features and extra columns, and those that others are computed from."""
        needed: set[Relation] = {"own_events", "pairs", *(feature.relation for feature in self.measured)}
        needed |= {EXTRA_COLUMNS[name] for name in self.extra}
        needed |= {"created"} if not DATED_COLUMNS.isdisjoint(self.piece_columns) else set()
        needed |= {"recent_events"} if "days_active" in needed else set()
        needed |= {"histories"} if needed & {*CREDIBILITY_RELATIONS} else set()
        return frozenset(needed)

    @property
    def columns(self) -> list[str]:
        """The columns of all parts that the result is computed from."""
        return [*self.extra, *(feature.name for feature in self.measured)]

    @property
    def counts_pairs(self) -> bool:
        """Whether (user, other) pairs are needed, or only when each user was last engaged with."""
        return bool(self.pair_columns(with_pairs=False))

    def pair_columns(self, with_pairs: bool) -> list[str]:
        """Return the columns of pairs to compute; `with_pairs` adds those of `feature_table.engaging_pairs`."""
        read = set(self._pair_fields)
        read |= {"last_age", "acts"} if self.needs("engagers", "engaged_users") else set()
        read |= {"last_age", "weeks"} if with_pairs else set()
        read |= {"last_age", "first_age"} if read else set()
        read |= {*RESPONSE_COLUMNS} if self.needs(*CREDIBILITY_RELATIONS) else set()
        return [name for name in PAIR_COLUMNS if name in read]

    @cached_property
    def _pair_fields(self) -> set[str]:
        return self._fields("pairs", PAIR_TYPES)

    @cached_property
    def piece_columns(self) -> list[str]:
        """The columns of pieces to compute."""
        read = self._fields("pieces", PIECE_TYPES) | {EXTRA_OF_PIECES[name] for name in self.extra_of("pieces")}
        return [name for name in PIECE_COLUMNS if name in read]

    def extra_of(self, relation: Relation) -> list[str]:
        """Return the extra columns to compute over a relation."""
        return [name for name in self.extra if EXTRA_COLUMNS[name] == relation]

    @property
    def steps(self) -> int:
        """How many tables are materialized for events that are not cached."""
        on_the_way = {group: n for group, n in INTERMEDIATE_TABLES.items() if self.needs(*group)}
        return len(self.relations) + sum(on_the_way.values()) - (0 if self.counts_pairs else 1)

    @property
    def recent_days(self) -> int:
        """How many days the detailed features look back; when a piece was created is read a week further."""
        return RECENT_DAYS + (LATE_DAYS if self.needs("created") else 0)

    @property
    def recent_columns(self) -> list[str]:
        """The columns to read of the last 90 days' events."""
        read = {name for name, relation in RECENT_COLUMNS.items() if self.needs(relation)}
        read |= self._fields("recent_events", RECENT_TYPES) & {"links"}
        return ["actor", "verb", "target", *sorted(read), "age"]

    @property
    def responder_columns(self) -> list[str]:
        """The columns of the weighted responders that features and pieces read."""
        read = {"user", "other", "weight"} | self._fields("responders", RESPONDER_TYPES)
        return [name for name in RESPONDER_TYPES if name in read]

    def _fields(self, relation: Relation, types: dict[str, str]) -> set[str]:
        """Return the columns that the features over a relation read."""
        table = ibis.table(types)
        return {name for feature in self.of_relation(relation) for name in _fields_of(feature.value(table))}

    def needs(self, *relations: Relation) -> bool:
        """Return whether any of the relations is needed."""
        return not self.relations.isdisjoint(relations)

    def of_relation(self, relation: Relation) -> list[Feature]:
        """Return the features to compute over a relation."""
        return [feature for feature in self.measured if feature.relation == relation]


def plan_features(features: Sequence[str] | None = None) -> FeaturePlan:
    """Return the plan for some features by name; None stands for all of CATALOGUE.

    Raises
    ------
    CatalogueError : a feature is not in CATALOGUE

    """
    requested = frozenset(CATALOGUE.names if features is None else features)
    for name in sorted(requested):
        if name not in CATALOGUE:
            raise CatalogueError(f"there is no feature called {name!r}{did_you_mean(name, CATALOGUE.names)}.")
    return _plan(requested)


@lru_cache(maxsize=256)
def _plan(requested: frozenset[str]) -> FeaturePlan:
    names = tuple(name for name in CATALOGUE.names if name in requested)
    read = {name for name in names if CATALOGUE[name].relation != "users"}
    read = read.union(*(columns_read(CATALOGUE[name]) for name in names if CATALOGUE[name].relation == "users"))
    measured = tuple(feature for feature in CATALOGUE if feature.name in read)
    return FeaturePlan(names, measured, tuple(name for name in EXTRA_COLUMNS if name in read))


def columns_read(feature: Feature) -> frozenset[str]:
    """Return the columns that a derived feature reads: other features and extra columns."""
    types = dict.fromkeys(CATALOGUE.names, "float64") | dict.fromkeys(EXTRA_COLUMNS, "int64")
    return frozenset(_fields_of(feature.value(ibis.table(types))))


def _fields_of(value: ir.Value) -> set[str]:
    return {field.name for field in value.op().find(Field)}
