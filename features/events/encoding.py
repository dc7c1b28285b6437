"""Acts: the events in the few columns that features are computed from, with keys for ids.

Keys: ids as 64-bit numbers, which group and join several times faster than text.

DuckDB and Spark have a fast hash each; elsewhere an id is its own key. Two people who share a key would be counted as
one, so people's keys are checked to differ (`acts.check_keys`); 1 million people collide with a probability of 3e-8.
Pieces and contents are told apart only within one person's own, where 1 million of them collide with the same
probability and nothing is checked.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import ibis
import ibis.expr.types as ir

from features.errors import EventsError
from features.events.event_table import CREATIONS, EPOCH, SECOND, VERBS
from features.events.scopes import ALL, assign_scopes, validate_scopes

UserKey = Callable[[ir.StringValue, ir.StringValue], ir.Value]
CODES = {verb: code for code, verb in enumerate(VERBS)}


@dataclass(frozen=True)
class EncodedEvents:
    """The events as features see them.

    Parameters
    ----------
    rows : time, actor, verb (its place in VERBS), target, object (the piece acted on), made (the new piece), content
        (its near-duplicate key), links and topics; people, pieces and contents as keys
    users : key, user, scope; a key stands for one person in one scope
    kept : whether rows and people are kept in tables, the keys seen to differ, so that reading them costs little
    seeds : the users from whom credibility flows; none leaves it to the rule of `credibility.seeds`

    """

    rows: ir.Table
    users: ir.Table
    cached: bool = False
    seeds: tuple[str, ...] = ()

    def with_seeds(self, seeds: Sequence[str]) -> "EncodedEvents":
        """Let credibility flow from these users."""
        return replace(self, seeds=tuple(seeds))


def encode_events(events: ir.Table, scopes: Sequence[str] = (ALL,)) -> EncodedEvents:
    """Select what features need of the events, once for every scope.

    Parameters
    ----------
    events : an event table as `open_events` gives it
    scopes : as in `scopes.scoped`

    """
    engine = events.get_backend().name
    table = assign_scopes(events, scopes)
    one_scope = validate_scopes(scopes) == (ALL,)
    person = _person_key(engine, one_scope)
    piece = (table.verb == "post").ifelse(table.object, table.result)
    rows = table.select(
        "time",
        "links",
        "topics",
        verb=ibis.array(list(VERBS)).index(table.verb).cast("int8"),
        actor=person(table.scope, table.actor),
        target=person(table.scope, table.target),
        object=key(engine, table.object),
        made=key(engine, table.verb.isin(CREATIONS).ifelse(piece, None)),
        content=key(engine, table.content_hash),
    )
    return EncodedEvents(rows, _people(table, person, one_scope))


def _people(table: ir.Table, person: UserKey, one_scope: bool) -> ir.Table:
    ids = [] if one_scope else ["scope"]
    actors, targets = (table.select(*ids, user=table[role]).distinct() for role in ("actor", "target"))
    everybody = actors.union(targets).filter(lambda ids: ids.user.notnull()).distinct()
    named = everybody.mutate(scope=ibis.literal(ALL)) if one_scope else everybody
    return named.select("user", "scope", key=person(named.scope, named.user))


def _person_key(engine: str, one_scope: bool) -> UserKey:
    if one_scope:
        return lambda _, user: key(engine, user)
    return lambda scope, user: key(engine, scope + "\n" + user)


@contextmanager
def cached(acts: EncodedEvents) -> Iterator[EncodedEvents]:
    """Keep acts in temporary tables, so that what looks at them many times reads and keys them once."""
    with acts.rows.cache() as rows, cached_users(acts) as users:
        yield replace(acts, rows=rows, users=users, cached=True)


@contextmanager
def cached_users(acts: EncodedEvents) -> Iterator[ir.Table]:
    """Keep the people of acts in a temporary table, after seeing that no two share a key.

    Raises
    ------
    EventsError : two do

    """
    if acts.cached:
        yield acts.users
        return
    with acts.users.cache() as users:
        check_keys(users)
        yield users


def check_keys(people: ir.Table) -> None:
    """See that no two people share a key.

    Raises
    ------
    EventsError : two do

    """
    shared = people.group_by("key").agg(n=people.count(), one=people.user.min(), other=people.user.max())
    found = shared.filter(shared.n > 1).limit(1).to_pyarrow().to_pylist()
    if found:
        raise EventsError(
            f"the ids {found[0]['one']!r} and {found[0]['other']!r} share a 64-bit key, which happens once in millions "
            "of communities; change one of them, for instance with a table of identities."
        )


def before(rows: ir.Table, as_of: datetime, days: int | None = None) -> ir.Table:
    """Keep what was known at an instant, the acts before it, with their `age` in microseconds.

    With `days`, only those of the last `days` days: said of `time` itself, so that files can be skipped.
    """
    end = (as_of - EPOCH) // timedelta(microseconds=1)
    earlier = rows.filter(rows.time < instant_literal(as_of))
    if days is not None:
        earlier = earlier.filter(earlier.time >= instant_literal(as_of - timedelta(days=days)))
    return earlier.mutate(age=ibis.literal(end, type="int64") - microseconds(earlier.time)).drop("time")


def instant_literal(at: datetime) -> ir.TimestampScalar:
    """Return an instant as an expression."""
    return ibis.literal(at, type="timestamp('UTC')")


def microseconds(time: ir.TimestampValue) -> ir.IntegerValue:
    """Return whole microseconds since 1970.

    The portable way turns every value into a calendar date first, which takes DuckDB 25 times as long as its own.
    """
    engine = time.get_backend().name
    if engine in MICROSECONDS:
        return MICROSECONDS[engine](time)
    return time.truncate("s").epoch_seconds().cast("int64") * SECOND + time.microsecond().cast("int64")


@ibis.udf.scalar.builtin(name="epoch_us", signature=(("timestamp('UTC')",), "int64"))
def _duckdb_micros(time: ir.TimestampValue) -> ir.IntegerValue:
    """Name DuckDB's function."""


@ibis.udf.scalar.builtin(name="unix_micros", signature=(("timestamp('UTC')",), "int64"))
def _spark_micros(time: ir.TimestampValue) -> ir.IntegerValue:
    """Name Spark's function."""


MICROSECONDS = {"duckdb": _duckdb_micros, "pyspark": _spark_micros}


@ibis.udf.scalar.builtin(name="hash", signature=(("string",), "uint64"))
def _duckdb(text: ir.StringValue) -> ir.IntegerValue:
    """Name DuckDB's hash."""


@ibis.udf.scalar.builtin(name="xxhash64", signature=(("string",), "int64"))
def _spark(text: ir.StringValue) -> ir.IntegerValue:
    """Name Spark's hash."""


HASHES = {"duckdb": _duckdb, "pyspark": _spark}


def key(engine: str, text: ir.StringValue) -> ir.Value:
    """Return the key of an id, null for none."""
    hashed = HASHES.get(engine)
    return text if hashed is None else text.notnull().ifelse(hashed(text), None)
