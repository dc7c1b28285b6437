"""Encoded events: the few columns that features are computed from, with 64-bit keys in place of ids.

Keys group and join several times faster than text. DuckDB and Spark have a fast hash each; on other engines an id is
its own key. Two users that share a key would be counted as one, so `check_keys` verifies that the keys of users are
unique; among 1 million users a collision has a probability of 3e-8. Keys of pieces and contents are compared only
within one user, where 1 million of them collide with the same probability, and are not checked.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import ibis
import ibis.expr.types as ir

from features.errors import EventsError
from features.events.engines import sql_function
from features.events.event_table import CREATIONS, EPOCH, SECOND, VERBS, FileVersions
from features.events.scopes import ALL, EVERY_NAME, assign_scopes, validate_scopes
from features.events.temporary_tables import cached_table, fetch

UserKey = Callable[[ir.StringValue, ir.StringValue], ir.Value]
NO_FILES = FileVersions({})
CODES = {verb: code for code, verb in enumerate(VERBS)}
MICROSECONDS = {
    "duckdb": sql_function("epoch_us", ("timestamp('UTC')",), "int64"),
    "pyspark": sql_function("unix_micros", ("timestamp('UTC')",), "int64"),
}
HASHES = {
    "duckdb": sql_function("hash", ("string",), "uint64"),
    "pyspark": sql_function("xxhash64", ("string",), "int64"),
}


@dataclass(frozen=True)
class EncodedEvents:
    """The events in the form that features are computed from.

    Parameters
    ----------
    rows : time, actor, verb (its index in VERBS), target, object (the piece acted on), made (the new piece), content
        (its near-duplicate key), links and topics; users, pieces and contents as keys
    users : key, user, scope; a key stands for one user in one scope
    named_scopes : scope; a row for every network and topic of the events, requested or not
    cached : whether rows and users are in temporary tables and the keys are checked
    seeds : the users from which credibility flows; empty applies the rule of `credibility.established`
    files : the files behind them, whose change while they are read is an error

    """

    rows: ir.Table
    users: ir.Table
    named_scopes: ir.Table
    cached: bool = False
    seeds: tuple[str, ...] = ()
    files: FileVersions = NO_FILES

    def with_seeds(self, seeds: Sequence[str]) -> "EncodedEvents":
        """Return the same events with other seeds."""
        return replace(self, seeds=tuple(seeds))


def encode_events(events: ir.Table, scopes: Sequence[str] = (ALL,)) -> EncodedEvents:
    """Select the columns of an event table that features need, once for every scope of `scopes.assign_scopes`."""
    engine = events.get_backend().name
    table = assign_scopes(events, scopes)
    one_scope = validate_scopes(scopes) == (ALL,)
    user_key = _user_key(engine, one_scope)
    piece = (table.verb == "post").ifelse(table.object, table.result)
    rows = table.select(
        "time",
        "links",
        "topics",
        verb=ibis.array(list(VERBS)).index(table.verb).cast("int8"),
        actor=user_key(table.scope, table.actor),
        target=user_key(table.scope, table.target),
        object=key(engine, table.object),
        made=key(engine, table.verb.isin(CREATIONS).ifelse(piece, None)),
        content=key(engine, table.content_hash),
    )
    named_scopes = assign_scopes(events, EVERY_NAME).select("scope").distinct()
    return EncodedEvents(rows, _users(table, user_key, one_scope), named_scopes)


def _users(table: ir.Table, user_key: UserKey, one_scope: bool) -> ir.Table:
    ids = [] if one_scope else ["scope"]
    actors, targets = (table.select(*ids, user=table[role]).distinct() for role in ("actor", "target"))
    users = actors.union(targets).filter(lambda ids: ids.user.notnull()).distinct()
    scoped = users.mutate(scope=ibis.literal(ALL)) if one_scope else users
    return scoped.select("user", "scope", key=user_key(scoped.scope, scoped.user))


def _user_key(engine: str, one_scope: bool) -> UserKey:
    if one_scope:
        return lambda _, user: key(engine, user)
    return lambda scope, user: key(engine, scope + "\n" + user)


@contextmanager
def cached(events: EncodedEvents) -> Iterator[EncodedEvents]:
    """Cache events in temporary tables, which repeated readers should use: the events are read and encoded once.

    Raises
    ------
    EventsError : two users share a key, or a file of the events changed meanwhile

    """
    if events.cached:
        yield events
        return
    with events.files.unchanged(), cached_table(events.rows) as rows, cached_users(events) as users:
        yield replace(events, rows=rows, users=users, cached=True)


@contextmanager
def cached_with(events: EncodedEvents, more: EncodedEvents) -> Iterator[EncodedEvents]:
    """Cache more events, and yield them together with events that are cached: only the additional ones are encoded."""
    both = replace(events, users=events.users.union(more.users, distinct=True), cached=False)
    with cached_table(more.rows) as rows, cached_users(both) as users:
        yield replace(events, rows=events.rows.union(rows), users=users)


@contextmanager
def cached_users(events: EncodedEvents) -> Iterator[ir.Table]:
    """Cache the users of events in a temporary table, after checking that no two share a key.

    Raises
    ------
    EventsError : two users share a key

    """
    if events.cached:
        yield events.users
        return
    with cached_table(events.users) as users:
        check_keys(users)
        yield users


def check_keys(users: ir.Table) -> None:
    """Check that no two users share a key.

    Raises
    ------
    EventsError : two users share a key

    """
    by_key = users.group_by("key").agg(n=users.count(), one=users.user.min(), other=users.user.max())
    collisions = fetch(by_key.filter(by_key.n > 1).limit(1)).to_pylist()
    if collisions:
        one, other = collisions[0]["one"], collisions[0]["other"]
        raise EventsError(
            f"the ids {one!r} and {other!r} share a 64-bit key, which happens once in millions of communities; "
            "change one of them, for instance with a table of identities."
        )


def before(rows: ir.Table, as_of: datetime, days: int | None = None) -> ir.Table:
    """Select the events before an instant, with their `age` in microseconds.

    With `days`, only those of the last `days` days; the filter is on `time` itself, so engines can skip files.
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

    The portable expression converts every value to a calendar date first, which takes DuckDB 25 times as long as its
    own function.
    """
    engine = time.get_backend().name
    if engine in MICROSECONDS:
        return MICROSECONDS[engine](time)
    return time.truncate("s").epoch_seconds().cast("int64") * SECOND + time.microsecond().cast("int64")


def key(engine: str, text: ir.StringValue) -> ir.Value:
    """Return the key of an id; null for null."""
    hashed = HASHES.get(engine)
    return text if hashed is None else text.notnull().ifelse(hashed(text), None)
