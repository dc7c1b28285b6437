"""Scopes: parts of the activity that have features and scores of their own.

`all` is everything, `network:NAME` the events of one network, `topic:NAME` the events tagged with one topic;
`network:*` and `topic:*` stand for each one that occurs. An event counts in every scope that it belongs to.
"""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from features.errors import ScopeError
from features.events.event_table import NETWORK

ALL = "all"
KINDS = ("network", "topic")
EVERY_NAME = tuple(f"{kind}:*" for kind in KINDS)


def validate_scopes(scopes: Sequence[str]) -> tuple[str, ...]:
    """Return the scopes without duplicates.

    Raises
    ------
    ScopeError : the list is empty, or a scope has none of the forms above

    """
    for scope in scopes:
        kind, _, name = scope.partition(":")
        if scope != ALL and (kind not in KINDS or not name):
            raise ScopeError(
                f"{scope!r} is not a valid scope; expected all, network:NAME, topic:NAME, network:* or topic:*."
            )
    if not scopes:
        raise ScopeError("no scope was requested; expected at least one, such as all.")
    return tuple(dict.fromkeys(scopes))


def assign_scopes(events: ir.Table, scopes: Sequence[str]) -> ir.Table:
    """Repeat each event for every scope that it belongs to, named in the column `scope`."""
    requested = validate_scopes(scopes)
    parts = [events.mutate(scope=ibis.literal(ALL))] if ALL in requested else []
    networks, topics = ([scope for scope in requested if scope.startswith(f"{kind}:")] for kind in KINDS)
    if networks:
        named = events.mutate(scope=ibis.literal("network:") + events.network.fill_null(NETWORK))
        parts.append(named.filter(in_scopes(named.scope, networks)))
    if topics:
        tagged = events.mutate(topic=events.topics.unique()).unnest("topic")
        named = tagged.mutate(scope=ibis.literal("topic:") + tagged.topic).drop("topic")
        parts.append(named.filter(in_scopes(named.scope, topics)))
    return ibis.union(*parts) if len(parts) > 1 else parts[0]


def in_scopes(scope: ir.StringValue, requested: Sequence[str]) -> ir.BooleanValue:
    """Return whether a scope is one of the requested scopes."""
    matches = scope.isin([name for name in requested if not name.endswith(":*")])
    for kind in KINDS:
        if f"{kind}:*" in requested:
            matches = matches | scope.startswith(f"{kind}:")
    return matches
