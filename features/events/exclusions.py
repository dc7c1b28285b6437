"""Left out: people whose acts, and acts towards whom, are taken out before anything is counted."""

from dataclasses import replace
from typing import Protocol

import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from features.events.encoding import EncodedEvents
from features.events.event_table import load_table
from features.events.identities import validate_identities


class UserIdSet(Protocol):
    """Tells of an id whether it is one of these, which need not be known by name."""

    def __contains__(self, user: object) -> bool:
        """Say whether an id is one of these."""

    def __len__(self) -> int:
        """Count them."""


NOBODY: frozenset[str] = frozenset()
NAMES = pa.schema([("excluded", pa.string())])


def exclude_users(events: ir.Table, excluded: UserIdSet, identities: pd.DataFrame | None = None) -> ir.Table:
    """Take out every event by or towards people who are left out.

    The ids that act or are acted on are read once and held against `excluded`; what is found becomes a
    table that both roles are joined with, so that it may be long.

    Parameters
    ----------
    events : an event table as `open_events` gives it; with identities, as `merged` gives it
    excluded : ids of people or of accounts
    identities : (account, person): who leaves out one account leaves out the person

    """
    if not len(excluded):
        return events
    actors, targets = (events.select(user=events[role]).distinct() for role in ("actor", "target"))
    found = _found(actors.union(targets).distinct(), excluded, persons(identities, excluded))
    if not found:
        return events
    names = _table(events, found)
    for role in ("actor", "target"):
        events = anti_join(events, role, names)
    return events


def exclude_users_encoded(
    acts: EncodedEvents, excluded: UserIdSet, identities: pd.DataFrame | None = None
) -> EncodedEvents:
    """Take people out of acts that hold keys in place of ids, in every scope; parameters as in `exclude_users`."""
    if not len(excluded):
        return acts
    found = _found(acts.users.select("user").distinct(), excluded, persons(identities, excluded))
    if not found:
        return acts
    names = _table(acts.users, found)
    keys = acts.users.join(names, acts.users.user == names.excluded).select(excluded="key").cache()
    rows = anti_join(anti_join(acts.rows, "actor", keys), "target", keys)
    return replace(acts, rows=rows, users=anti_join(acts.users, "user", names))


def persons(identities: pd.DataFrame | None, excluded: UserIdSet) -> frozenset[str]:
    """Return the people one of whose accounts is left out."""
    if identities is None:
        return NOBODY
    told = validate_identities(identities)
    return frozenset(told.loc[[account in excluded for account in told["account"]], "person"])


def _found(users: ir.Table, excluded: UserIdSet, more: frozenset[str]) -> list[str]:
    """Return those of a column of ids who are left out."""
    ids = users.to_pyarrow().column("user").to_pylist()
    return sorted(user for user in ids if user is not None and (user in excluded or user in more))


def _table(beside: ir.Table, names: list[str]) -> ir.Table:
    """Put names where a table lives."""
    return load_table(pa.table([names], schema=NAMES), beside.get_backend())


def anti_join(table: ir.Table, column: str, names: ir.Table) -> ir.Table:
    """Keep the rows whose column is none of the names, a column `excluded` of a table where the rows live.

    A null is nobody, and an anti join is not every engine's.
    """
    joined = table.left_join(names, table[column] == names.excluded)
    return joined.filter(joined.excluded.isnull()).drop("excluded")
