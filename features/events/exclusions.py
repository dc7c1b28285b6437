"""Left out: people whose acts, and acts towards whom, are taken out before anything is counted."""

from dataclasses import replace
from typing import Protocol

import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from features.events.encoding import Acts
from features.events.event_table import loaded
from features.events.identities import checked


class Ids(Protocol):
    """Tells of an id whether it is one of these, which need not be known by name."""

    def __contains__(self, user: object) -> bool:
        """Say whether an id is one of these."""

    def __len__(self) -> int:
        """Count them."""


NOBODY: frozenset[str] = frozenset()
NAMES = pa.schema([("left_out", pa.string())])


def without(events: ir.Table, left_out: Ids, identities: pd.DataFrame | None = None) -> ir.Table:
    """Take out every event by or towards people who are left out.

    The ids that act or are acted on are read once and held against `left_out`; what is found becomes a
    table that both roles are joined with, so that it may be long.

    Parameters
    ----------
    events : an event table as `open_events` gives it; with identities, as `merged` gives it
    left_out : ids of people or of accounts
    identities : (account, person): who leaves out one account leaves out the person

    """
    if not len(left_out):
        return events
    actors, targets = (events.select(user=events[role]).distinct() for role in ("actor", "target"))
    found = _found(actors.union(targets).distinct(), left_out, persons(identities, left_out))
    if not found:
        return events
    names = _table(events, found)
    for role in ("actor", "target"):
        events = unmatched(events, role, names)
    return events


def acts_without(acts: Acts, left_out: Ids, identities: pd.DataFrame | None = None) -> Acts:
    """Take people out of acts that hold keys in place of ids, in every scope; parameters as in `without`."""
    if not len(left_out):
        return acts
    found = _found(acts.people.select("user").distinct(), left_out, persons(identities, left_out))
    if not found:
        return acts
    names = _table(acts.people, found)
    keys = acts.people.join(names, acts.people.user == names.left_out).select(left_out="key").cache()
    rows = unmatched(unmatched(acts.rows, "actor", keys), "target", keys)
    return replace(acts, rows=rows, people=unmatched(acts.people, "user", names))


def persons(identities: pd.DataFrame | None, left_out: Ids) -> frozenset[str]:
    """Return the people one of whose accounts is left out."""
    if identities is None:
        return NOBODY
    told = checked(identities)
    return frozenset(told.loc[[account in left_out for account in told["account"]], "person"])


def _found(users: ir.Table, left_out: Ids, more: frozenset[str]) -> list[str]:
    """Return those of a column of ids who are left out."""
    ids = users.to_pyarrow().column("user").to_pylist()
    return sorted(user for user in ids if user is not None and (user in left_out or user in more))


def _table(beside: ir.Table, names: list[str]) -> ir.Table:
    """Put names where a table lives."""
    return loaded(pa.table([names], schema=NAMES), beside.get_backend())


def unmatched(table: ir.Table, column: str, names: ir.Table) -> ir.Table:
    """Keep the rows whose column is none of the names, a column `left_out` of a table where the rows live.

    A null is nobody, and an anti join is not every engine's.
    """
    joined = table.left_join(names, table[column] == names.left_out)
    return joined.filter(joined.left_out.isnull()).drop("left_out")
