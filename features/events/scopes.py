"""Scopes: parts of the activity that are described and scored on their own.

`all` is everything, `network:NAME` what happened in one network, `topic:NAME` what is tagged with one topic;
`network:*` and `topic:*` stand for each one that occurs. An act counts in every scope that it belongs to.
"""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from features.errors import ScopeError
from features.events.event_table import NETWORK

ALL = "all"
KINDS = ("network", "topic")


def validate_scopes(scopes: Sequence[str]) -> tuple[str, ...]:
    """Return the scopes without repetition.

    Raises
    ------
    ScopeError : there is none, or one is not of the forms above

    """
    for scope in scopes:
        kind, _, name = scope.partition(":")
        if scope != ALL and (kind not in KINDS or not name):
            raise ScopeError(f"{scope!r} is no scope; expected all, network:NAME, topic:NAME, network:* or topic:*.")
    if not scopes:
        raise ScopeError("no scope was asked for; expected at least one, such as all.")
    return tuple(dict.fromkeys(scopes))


def assign_scopes(events: ir.Table, scopes: Sequence[str]) -> ir.Table:
    """Repeat each event for every scope that it belongs to, named in the column `scope`."""
    asked = validate_scopes(scopes)
    parts = [events.mutate(scope=ibis.literal(ALL))] if ALL in asked else []
    networks, topics = ([scope for scope in asked if scope.startswith(f"{kind}:")] for kind in KINDS)
    if networks:
        named = events.mutate(scope=ibis.literal("network:") + events.network.fill_null(NETWORK))
        parts.append(named.filter(in_scopes(named.scope, networks)))
    if topics:
        tagged = events.mutate(topic=events.topics.unique()).unnest("topic")
        named = tagged.mutate(scope=ibis.literal("topic:") + tagged.topic).drop("topic")
        parts.append(named.filter(in_scopes(named.scope, topics)))
    return ibis.union(*parts) if len(parts) > 1 else parts[0]


def in_scopes(scope: ir.StringValue, asked: Sequence[str]) -> ir.BooleanValue:
    """Tell whether a scope is one of those asked for."""
    held = scope.isin([name for name in asked if not name.endswith(":*")])
    for kind in KINDS:
        if f"{kind}:*" in asked:
            held = held | scope.startswith(f"{kind}:")
    return held
