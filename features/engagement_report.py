"""What somebody earned lately: who engaged, and with which pieces, so that a score can be checked against the activity.

It is asked about one person at a time, so events are filtered by raw ids and time before anything is keyed. People are
counted alike here: how credible each of them is comes out of passes over everybody (`credibility`), which this goes
without.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pandas as pd

from features.aggregates.relations import PERSONAL, created, engagements, is_any, own_events
from features.aggregates.windows import RECENT_DAYS, count, within
from features.errors import ScopeError, StoreError, UnknownUserError
from features.events.encoding import before, encode_events, instant_literal, key
from features.events.event_table import CREATIONS, ENDORSEMENTS, NEGATIVE, RESPONSES, SCHEMA, VERBS, open_events
from features.events.exclusions import NOBODY, UserIdSet, exclude_users
from features.events.identities import merge_identities, validate_identities
from features.events.loading import Source, resolve_as_of
from features.events.scopes import ALL
from features.events.store import is_store
from features.feature_table import LATE_DAYS
from features.utc import parse_utc

Differing = dict[str, dict[str, float]]


@dataclass(frozen=True)
class ByVerb:
    """Engagements of one kind: how many different known people, and how many in all."""

    people: int
    engagements: int


@dataclass(frozen=True)
class Piece:
    """What one piece drew: distinct known people, engagements in all and by unknown people, and both of each verb.

    `first` and `last` are the instants of the first and last engagement that is counted (ISO 8601, UTC); `made` is that
    of the making, None where it was more than a week before the window, or is not known.
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
    """What came from others in the `days` before `as_of`.

    `people` are all the known ones who engaged, `responders` those of them who replied, mentioned, liked, reposted or
    quoted, whom credibility then weighs; `unknown` are engagements by unknown people. `on_pieces` came to content,
    `drawing` pieces of it; the rest is about the person or names no piece. `pieces` are those that most people engaged
    with, the most first; then by engagements, then by name.
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
        """Return the totals that features count as well, by the feature's name, to be held against a feature row."""
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

    def differences(self, row: Mapping[str, float]) -> Differing:
        """Hold the totals against a feature row of the same user, scope and instant; return those that differ."""
        both = {name: {"events": here, "scored": float(row[name])} for name, here in self.as_features().items()}
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
    """Find what a user earned before an instant.

    Parameters
    ----------
    source : an event table in any form that `open_events` takes
    user : the id; with identities, the person's
    as_of : the instant, UTC; only events with `time < as_of` are looked at
    scope : `all`, `network:NAME` or `topic:NAME`
    identities : (account, person), as in `identities.read_identities`
    top : at most so many pieces; None is all
    days : how far to look back; features that count the same look back 90
    excluded : people who do not count, as in `opening.open_acts`

    Returns
    -------
    what came; nothing, where the user was seen before but nothing came

    Raises
    ------
    EventsError : there are no events, or they cannot be read
    StoreError : the source is a store
    AsOfError : the user is not found, and nothing happened before the instant
    UnknownUserError : the user neither acts nor is engaged with before the instant, or is another's account
    ScopeError : the scope is none, or several

    """
    events, accounts = _opened(source, scope), _accounts(user, identities)
    earlier = events.filter(events.time < instant_literal(as_of))
    lately = earlier.filter(earlier.time >= instant_literal(as_of - timedelta(days=days + LATE_DAYS)))
    around = _around(lately, accounts, scope)
    merging = exclude_users(
        around if identities is None else merge_identities(around, identities), excluded, identities
    )
    with merging.cache() as kept, _received(kept, as_of, scope, days).cache() as received:
        totals, pieces = _totals(received), _pieces(received, as_of, top)
        seen = totals["engagements"] or _holds(kept)
    acted = earlier.filter(earlier.actor.isin(accounts) | earlier.target.isin(accounts))
    if not seen and (user in excluded or not _holds(acted)):
        resolve_as_of(events, as_of)
        raise UnknownUserError(f"{user!r} neither acts nor is engaged with in the events before {_told(as_of)}.")
    return EngagementReport(user=user, scope=scope, as_of=_told(as_of), days=days, pieces=pieces, **totals)


def _opened(source: Source, scope: str) -> ir.Table:
    if scope.endswith(":*"):
        raise ScopeError(f"{scope!r} stands for many scopes; expected one: all, network:NAME or topic:NAME.")
    if isinstance(source, str | Path) and is_store(Path(source)):
        raise StoreError(f"{source} is a store, which keeps no names of pieces; give the events themselves instead.")
    return open_events(source)


def _accounts(user: str, identities: pd.DataFrame | None) -> list[str]:
    """Return the ids by which a user goes in the events."""
    if identities is None:
        return [user]
    moved = validate_identities(identities)
    persons = moved.loc[moved["account"] == user, "person"]
    if len(persons):
        raise UnknownUserError(f"{user!r} is an account of {persons.iloc[0]!r} by the identities; ask for that person.")
    return [user, *moved.loc[moved["person"] == user, "account"]]


def _around(events: ir.Table, accounts: list[str], scope: str) -> ir.Table:
    """Select what others did to the accounts, and what these made, in the columns that each needs.

    Each filter is on one column first, which lets DuckDB skip what is not asked for while it reads; where the accounts
    are looked for in both at once, it reads everything, which takes twice as long.
    """
    kind = scope.partition(":")[0]
    unread = {"content_hash", "links", *({"network", "topics"} - {kind, f"{kind}s"})}
    received = events.filter(events.target.isin(accounts), events.actor.isnull() | ~events.actor.isin(accounts))
    made = events.filter(events.actor.isin(accounts), events.verb.isin(CREATIONS))
    return _without(received, unread | {"result"}).union(_without(made, unread | {"target"}))


def _without(events: ir.Table, unread: set[str]) -> ir.Table:
    return events.mutate(**{name: ibis.null(SCHEMA[name]) for name in unread})


def _holds(events: ir.Table) -> bool:
    return len(events.select("time").limit(1).to_pyarrow()) > 0


def _received(around: ir.Table, as_of: datetime, scope: str, days: int) -> ir.Table:
    """Select the engagements, all of them with the user: (other, verb, age, piece, made_age), null if with no piece."""
    recent = before(encode_events(around, [scope]).rows, as_of)
    received = engagements(recent.filter(within(recent.age, days)))
    names = around.select(object=key(around.get_backend().name, around.object), name=around.object).distinct()
    made = created(own_events(recent)).select(object=ibis._.piece, made_age=ibis._.created_age)
    named = received.left_join(names, "object").select("other", "verb", "age", "object", "name")
    dated = named.left_join(made, "object").select("other", "verb", "age", "name", "made_age")
    return dated.mutate(piece=is_any(dated.verb, *PERSONAL).ifelse(None, dated.name)).drop("name")


def _drawn(received: ir.Table) -> dict[str, ir.Value]:
    return {"people": received.other.nunique(), "engagements": received.count()}


def _totals(received: ir.Table) -> dict:
    on_piece = received.piece.notnull()
    values = {
        "unknown": count(received.other.isnull()),
        "responders": received.other.nunique(where=is_any(received.verb, *RESPONSES)),
        "drawing": received.piece.nunique(),
        "people_": received.other.nunique(where=on_piece),
        "engagements_": count(on_piece),
    }
    (found,) = received.aggregate(**_drawn(received), **values).to_pyarrow().to_pylist()
    by_verb = received.group_by("verb").agg(**_drawn(received)).to_pyarrow().to_pylist()
    on_pieces = ByVerb(found.pop("people_"), found.pop("engagements_"))
    return found | {"verbs": _verbs(by_verb), "on_pieces": on_pieces}


def _pieces(received: ir.Table, as_of: datetime, top: int | None) -> tuple[Piece, ...]:
    r = received.filter(received.piece.notnull())
    ages = {"first": r.age.max(), "last": r.age.min(), "made": r.made_age.max()}
    drawn = r.group_by("piece").agg(**_drawn(r), unknown=count(r.other.isnull()), **ages)
    most = drawn.order_by(drawn.people.desc(), drawn.engagements.desc(), "piece").limit(top).to_pyarrow().to_pylist()
    of_these = r if top is None else r.filter(r.piece.isin([row["piece"] for row in most]))
    by_verb: dict[str, list[dict]] = {}
    for row in of_these.group_by("piece", "verb").agg(**_drawn(of_these)).to_pyarrow().to_pylist():
        by_verb.setdefault(row["piece"], []).append(row)
    return tuple(
        Piece(verbs=_verbs(by_verb[row["piece"]]), **(row | {name: _at(as_of, row[name]) for name in ages}))
        for row in most
    )


def _verbs(rows: Sequence[Mapping]) -> dict[str, ByVerb]:
    """Order by engagements, the most first."""
    ordered = sorted(rows, key=lambda row: (-row["engagements"], row["verb"]))
    return {VERBS[row["verb"]]: ByVerb(row["people"], row["engagements"]) for row in ordered}


def _at(as_of: datetime, age: int | None) -> str | None:
    return None if age is None else _told(as_of - timedelta(microseconds=age))


def _told(at: datetime) -> str:
    return parse_utc(at).isoformat().replace("+00:00", "Z")
