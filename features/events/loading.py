"""Opening: from any form of events, or a store, to acts; and the instant to look at them from."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from features.errors import AsOfError, ScopeError, StoreError
from features.events.encoding import EncodedEvents, encode_events
from features.events.event_table import open_events, time_range
from features.events.exclusions import NOBODY, UserIdSet, exclude_users, exclude_users_encoded
from features.events.identities import merge_identities
from features.events.scopes import ALL
from features.events.store import is_store, open_store, read_store_identities

Source: TypeAlias = str | Path | pd.DataFrame | pa.Table | ir.Table


def load_encoded_events(
    source: Source,
    scopes: Sequence[str] = (ALL,),
    identities: pd.DataFrame | None = None,
    engine: ibis.BaseBackend | None = None,
    excluded: UserIdSet = NOBODY,
) -> EncodedEvents:
    """Open events, or a store, as acts.

    Parameters
    ----------
    source : an event table in any form that `open_events` takes, or the folder of a store
    scopes : the scopes to describe, as in `scopes.scoped`; a store has its own
    identities : (account, person), as in `identities.read_identities`; a store has its own
    engine : what computes; None is DuckDB, or where an Ibis table lives
    excluded : people who do not count: acts by them and towards them are as if they had never been

    Raises
    ------
    EventsError : the events cannot be read
    ScopeError : a scope is none, or a store does not hold it
    StoreError : the store is damaged, or other identities or another engine are asked of it

    """
    if isinstance(source, str | Path) and is_store(Path(source)):
        if identities is not None or engine is not None:
            asked = "identities" if identities is not None else "engine"
            raise StoreError(f"{source} is a store, which has its {asked} already; give the events themselves instead.")
        return exclude_users_encoded(open_store(Path(source), scopes), excluded, read_store_identities(Path(source)))
    return encode_events(load_events(source, identities, engine, excluded), scopes)


def load_events(
    source: Source,
    identities: pd.DataFrame | None = None,
    engine: ibis.BaseBackend | None = None,
    excluded: UserIdSet = NOBODY,
) -> ir.Table:
    """Open an event table whose actors and targets are the users who count.

    Parameters and errors are those of `load_encoded_events`.

    Returns
    -------
    an Ibis table as `open_events` gives it, the accounts of each person put together

    """
    events = open_events(source, engine)
    return exclude_users(events if identities is None else merge_identities(events, identities), excluded, identities)


def check_scopes(acts: EncodedEvents, scopes: Sequence[str]) -> None:
    """See that each scope asked for by name has somebody in it.

    Raises
    ------
    ScopeError : one has nobody; says which there are

    """
    named = {scope for scope in scopes if scope != ALL and not scope.endswith(":*")}
    if not named:
        return
    found = sorted(acts.users.select("scope").distinct().to_pandas()["scope"])
    empty = sorted(named - set(found))
    if empty:
        shown = ", ".join(found[:8]) + (", ..." if len(found) > 8 else "")
        raise ScopeError(f"nobody is in the scope {empty[0]}; found {shown or 'nobody at all'}.")


def resolve_as_of(table: ir.Table, as_of: datetime | None = None) -> datetime:
    """Hold an instant against events or acts; without one, take the first whole second after the last event.

    Raises
    ------
    AsOfError : nothing happened before the instant, or it lies in the future

    """
    first, last = time_range(table)
    if as_of is None:
        return last.replace(microsecond=0) + timedelta(seconds=1)
    if as_of <= first:
        raise AsOfError(f"as_of {as_of:%Y-%m-%d %H:%M:%S} is not after the first event, {first:%Y-%m-%d %H:%M:%S} UTC.")
    now = datetime.now(UTC)
    if as_of > max(now, last + timedelta(seconds=1)):
        raise AsOfError(
            f"as_of {as_of:%Y-%m-%d %H:%M:%S} lies in the future: the last event is of {last:%Y-%m-%d %H:%M:%S} and "
            f"now it is {now:%Y-%m-%d %H:%M:%S} UTC."
        )
    return as_of
