"""Engagement that a user received lately, by verb and piece, so that reviewers can check a score against the events.

A report is about one user, so events are filtered by raw ids and time before they are encoded. All users count equally
here: credibility (`aggregates.credibility`) needs passes over the whole community, which a report does not run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pandas as pd

from features.aggregates.relations import PERSONAL, created, engagements, is_any, own_events
from features.aggregates.windows import LATE_DAYS, RECENT_DAYS, count, within
from features.errors import ScopeError, StoreError, UnknownUserError
from features.events.encoding import before, encode_events, instant_literal, key
from features.events.event_table import CREATIONS, ENDORSEMENTS, NEGATIVE, RESPONSES, SCHEMA, VERBS, open_events
from features.events.exclusions import NOBODY, UserIdSet, exclude_users
from features.events.identities import merge_identities, validate_identities
from features.events.loading import Source, resolve_as_of
from features.events.scopes import ALL
from features.events.store import is_store
from features.utc import to_iso_utc

Differences = dict[str, dict[str, float]]


@dataclass(frozen=True)
class ByVerb:
    """Engagements of one kind: the number of distinct known users, and of all engagements."""

    people: int
    engagements: int


@dataclass(frozen=True)
class Piece:
    """Engagement with one piece: distinct known users, all engagements, those by unknown users, and both by verb.

    `first` and `last` are the instants of the first and last counted engagement (ISO 8601, UTC). `made` is the instant
    of the piece's creation, None if it was more than a week before the window or is unknown.
    """

    piece: str
    people: int
    engagements: int
    unknown: int
    verbs: dict[str, ByVerb]
    made: str | None
    first: str
    last: str


@dataclass(frozen=True)
class EngagementReport:
    """The engagement that a user received from others in the `days` before `as_of`.

    `people` is the number of known users that engaged, `responders` of those that replied, mentioned, liked, reposted
    or quoted, which are the ones weighted by credibility; `unknown` is the number of engagements by unknown users.
    `on_pieces` counts the engagement with pieces, and `drawing` the pieces that received it; the other engagement is
    with the user, or names no piece. `pieces` are sorted by people, most first, then by engagements, then by name.
    """

    user: str
    scope: str
    as_of: str
    days: int
    people: int
    responders: int
    engagements: int
    unknown: int
    verbs: dict[str, ByVerb]
    on_pieces: ByVerb
    drawing: int
    pieces: tuple[Piece, ...]

    def as_features(self) -> dict[str, float]:
        """Return the totals that are features as well, by feature name, for comparison with a feature row."""
        kinds = {
            "replies": ("reply",),
            "likes": ("like",),
            "reposts": ("repost", "quote"),
            "mentions": ("mention",),
            "endorsements": ENDORSEMENTS,
            "disapprovals": NEGATIVE,
        }
        counts = {
            "engagers": self.people,
            "engagements": self.engagements,
            **{name: sum(self.verbs[v].engagements for v in verbs if v in self.verbs) for name, verbs in kinds.items()},
            "pieces_drawing": self.drawing,
        }
        return {f"{name}_{self.days}d": float(value) for name, value in counts.items()}

    def differences(self, row: Mapping[str, float]) -> Differences:
        """Compare the totals with those in a feature row of the same user, scope and instant; return what differs."""
        totals = {name: total for name, total in self.as_features().items() if name in row}
        both = {name: {"events": total, "scored": float(row[name])} for name, total in totals.items()}
        return {name: values for name, values in both.items() if values["events"] != values["scored"]}


def engagement_report(
    source: Source,
    user: str,
    as_of: datetime,
    scope: str = ALL,
    identities: pd.DataFrame | None = None,
    top: int | None = None,
    days: int = RECENT_DAYS,
    excluded: UserIdSet = NOBODY,
) -> EngagementReport:
    """Report the engagement that a user received before an instant.

    Parameters
    ----------
    source : an event table in any form that `open_events` accepts
    user : the id; with identities, the person's
    as_of : the instant, UTC; only events with `time < as_of` are read
    scope : `all`, `network:NAME` or `topic:NAME`
    identities : (account, person), as in `identities.read_identities`
    top : the largest number of pieces; None is all
    days : the days to look back; features that count the same look back 90
    excluded : ids of excluded users, as in `loading.load_encoded_events`

    Returns
    -------
    the report; its totals are 0 if the user has earlier events but received no engagement

    Raises
    ------
    EventsError : no events, or they cannot be read
    StoreError : the source is a store
    AsOfError : the user is not found, and there are no events before the instant
    UnknownUserError : the user has no events before the instant, by or towards them, or is another user's account
    ScopeError : the scope is not valid, or stands for several

    """
    events, accounts = _open_events(source, scope), _accounts(user, identities)
    earlier = events.filter(events.time < instant_literal(as_of))
    recent = earlier.filter(earlier.time >= instant_literal(as_of - timedelta(days=days + LATE_DAYS)))
    around = _events_around(recent, accounts, scope)
    merged = around if identities is None else merge_identities(around, identities)
    counted = exclude_users(merged, excluded, identities)
    with counted.cache() as cached, _received(cached, as_of, scope, days).cache() as received:
        totals, pieces = _totals(received), _pieces(received, as_of, top)
        active = totals["engagements"] or _has_rows(cached)
    own = earlier.filter(earlier.actor.isin(accounts) | earlier.target.isin(accounts))
    if not active and (user in excluded or not _has_rows(own)):
        resolve_as_of(events, as_of)
        raise UnknownUserError(f"{user!r} neither acts nor is engaged with in the events before {to_iso_utc(as_of)}.")
    return EngagementReport(user=user, scope=scope, as_of=to_iso_utc(as_of), days=days, pieces=pieces, **totals)


def _open_events(source: Source, scope: str) -> ir.Table:
    if scope.endswith(":*"):
        raise ScopeError(f"{scope!r} stands for several scopes; expected one: all, network:NAME or topic:NAME.")
    if isinstance(source, str | Path) and is_store(Path(source)):
        raise StoreError(f"{source} is a store, which has no names of pieces; use the events themselves instead.")
    return open_events(source)


def _accounts(user: str, identities: pd.DataFrame | None) -> list[str]:
    """Return the ids of a user's accounts, their own first."""
    if identities is None:
        return [user]
    moved = validate_identities(identities)
    persons = moved.loc[moved["account"] == user, "person"]
    if len(persons):
        raise UnknownUserError(f"{user!r} is an account of {persons.iloc[0]!r} in the identities; ask for that person.")
    return [user, *moved.loc[moved["person"] == user, "account"]]


def _events_around(events: ir.Table, accounts: list[str], scope: str) -> ir.Table:
    """Select the engagements with the accounts, and the pieces they created, with the columns that each needs.

    Each filter is on one column first, which lets DuckDB skip row groups while reading; one filter on both columns
    reads everything and takes twice as long.
    """
    kind = scope.partition(":")[0]
    unread = {"content_hash", "links", *({"network", "topics"} - {kind, f"{kind}s"})}
    received = events.filter(events.target.isin(accounts), events.actor.isnull() | ~events.actor.isin(accounts))
    new = events.filter(events.actor.isin(accounts), events.verb.isin(CREATIONS))
    return _with_nulls(received, unread | {"result"}).union(_with_nulls(new, unread | {"target"}))


def _with_nulls(events: ir.Table, unread: set[str]) -> ir.Table:
    return events.mutate(**{name: ibis.null(SCHEMA[name]) for name in unread})


def _has_rows(events: ir.Table) -> bool:
    return len(events.select("time").limit(1).to_pyarrow()) > 0


def _received(around: ir.Table, as_of: datetime, scope: str, days: int) -> ir.Table:
    """Select the engagements with the user: (other, verb, age, piece, made_age); piece may be null."""
    recent = before(encode_events(around, [scope]).rows, as_of)
    received = engagements(recent.filter(within(recent.age, days)))
    names = around.select(object=key(around.get_backend().name, around.object), name=around.object).distinct()
    creations = created(own_events(recent)).select("user", object=ibis._.piece, made_age=ibis._.created_age)
    named = received.left_join(names, "object").select("user", "other", "verb", "age", "object", "name")
    dated = named.left_join(creations, ["user", "object"]).select("other", "verb", "age", "name", "made_age")
    return dated.mutate(piece=is_any(dated.verb, *PERSONAL).ifelse(None, dated.name)).drop("name")


def _engagement_counts(received: ir.Table) -> dict[str, ir.Value]:
    return {"people": received.other.nunique(), "engagements": received.count()}


def _totals(received: ir.Table) -> dict[str, Any]:
    on_piece = received.piece.notnull()
    values = {
        "unknown": count(received.other.isnull()),
        "responders": received.other.nunique(where=is_any(received.verb, *RESPONSES)),
        "drawing": received.piece.nunique(),
        "people_": received.other.nunique(where=on_piece),
        "engagements_": count(on_piece),
    }
    totals: dict[str, Any]
    (totals,) = received.aggregate(**_engagement_counts(received), **values).to_pyarrow().to_pylist()
    by_verb = received.group_by("verb").agg(**_engagement_counts(received)).to_pyarrow().to_pylist()
    on_pieces = ByVerb(totals.pop("people_"), totals.pop("engagements_"))
    return totals | {"verbs": _verbs(by_verb), "on_pieces": on_pieces}


def _pieces(received: ir.Table, as_of: datetime, top: int | None) -> tuple[Piece, ...]:
    r = received.filter(received.piece.notnull())
    ages = {"first": r.age.max(), "last": r.age.min(), "made": r.made_age.max()}
    counts = r.group_by("piece").agg(**_engagement_counts(r), unknown=count(r.other.isnull()), **ages)
    most = counts.order_by(counts.people.desc(), counts.engagements.desc(), "piece").limit(top).to_pyarrow().to_pylist()
    of_these = r if top is None else r.filter(r.piece.isin([row["piece"] for row in most]))
    by_verb: dict[str, list[dict[str, Any]]] = {}
    for row in of_these.group_by("piece", "verb").agg(**_engagement_counts(of_these)).to_pyarrow().to_pylist():
        by_verb.setdefault(row["piece"], []).append(row)
    return tuple(
        Piece(verbs=_verbs(by_verb[row["piece"]]), **(row | {name: _at(as_of, row[name]) for name in ages}))
        for row in most
    )


def _verbs(rows: Sequence[Mapping[str, Any]]) -> dict[str, ByVerb]:
    """Return the counts by verb, most engagements first."""
    ordered = sorted(rows, key=lambda row: (-row["engagements"], row["verb"]))
    return {VERBS[row["verb"]]: ByVerb(row["people"], row["engagements"]) for row in ordered}


def _at(as_of: datetime, age: int | None) -> str | None:
    return None if age is None else to_iso_utc(as_of - timedelta(microseconds=age))
