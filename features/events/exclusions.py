"""Remove excluded users: events by and towards them are dropped before anything is counted."""

from dataclasses import replace
from typing import Protocol

import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from features.events.encoding import EncodedEvents
from features.events.event_table import load_table
from features.events.identities import validate_identities


class UserIdSet(Protocol):
    """A set of user ids that supports membership tests but need not list its members."""

    def __contains__(self, user: object) -> bool:
        """Return whether an id is in the set."""

    def __len__(self) -> int:
        """Return the number of ids."""


NOBODY: frozenset[str] = frozenset()
NAMES = pa.schema([("excluded", pa.string())])


def exclude_users(events: ir.Table, excluded: UserIdSet, identities: pd.DataFrame | None = None) -> ir.Table:
    """Drop every event by or towards excluded users.

    The ids of actors and targets are read once and tested against `excluded`; the matches become a table that both
    columns are joined with, so the list may be long.

    Parameters
    ----------
    events : an event table from `open_events`; with identities, from `merge_identities`
    excluded : ids of persons or of accounts
    identities : (account, person): excluding one account excludes the person

    """
    if not len(excluded):
        return events
    actors, targets = (events.select(user=events[role]).distinct() for role in ("actor", "target"))
    matches = _matching_users(actors.union(targets).distinct(), excluded, persons(identities, excluded))
    if not matches:
        return events
    names = _names_table(events, matches)
    for role in ("actor", "target"):
        events = anti_join(events, role, names)
    return events


def exclude_users_encoded(
    events: EncodedEvents, excluded: UserIdSet, identities: pd.DataFrame | None = None
) -> EncodedEvents:
    """Drop excluded users from encoded events, in every scope; parameters as in `exclude_users`."""
    if not len(excluded):
        return events
    users = events.users
    matches = _matching_users(users.select("user").distinct(), excluded, persons(identities, excluded))
    if not matches:
        return events
    names = _names_table(users, matches)
    keys = users.join(names, users.user == names.excluded).select(excluded="key").cache()
    rows = anti_join(anti_join(events.rows, "actor", keys), "target", keys)
    return replace(events, rows=rows, users=anti_join(users, "user", names))


def persons(identities: pd.DataFrame | None, excluded: UserIdSet) -> frozenset[str]:
    """Return the persons that have an excluded account."""
    if identities is None:
        return NOBODY
    rows = validate_identities(identities)
    return frozenset(rows.loc[[account in excluded for account in rows["account"]], "person"])


def _matching_users(users: ir.Table, excluded: UserIdSet, more: frozenset[str]) -> list[str]:
    """Return the ids of a table that are excluded, sorted."""
    ids = users.to_pyarrow().column("user").to_pylist()
    return sorted(user for user in ids if user is not None and (user in excluded or user in more))


def _names_table(table: ir.Table, names: list[str]) -> ir.Table:
    """Load names into the backend of a table."""
    return load_table(pa.table([names], schema=NAMES), table.get_backend())


def anti_join(table: ir.Table, column: str, names: ir.Table) -> ir.Table:
    """Keep the rows whose column is not in `names`, a table of one column `excluded` on the same backend.

    Rows with null stay. Not every engine supports a native anti join.
    """
    joined = table.left_join(names, table[column] == names.excluded)
    return joined.filter(joined.excluded.isnull()).drop("excluded")
