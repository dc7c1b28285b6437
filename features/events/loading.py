"""Load events from any source, or from a store, and resolve the instant at which features are computed."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import TypeAlias

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from features.errors import AsOfError, FutureAsOfError, ScopeError, StoreError
from features.events.encoding import NO_FILES, EncodedEvents, encode_events
from features.events.event_table import FileVersions, open_events, readable_files, time_range
from features.events.exclusions import NOBODY, UserIdSet, exclude_users, exclude_users_encoded
from features.events.identities import merge_identities, warn_if_unused
from features.events.scopes import ALL
from features.events.store import is_being_created, is_store, open_store, read_store_identities
from features.utc import now_utc

Source: TypeAlias = str | Path | pd.DataFrame | pa.Table | ir.Table
LISTED = 8


def load_encoded_events(
    source: Source,
    scopes: Sequence[str] = (ALL,),
    identities: pd.DataFrame | None = None,
    engine: ibis.BaseBackend | None = None,
    excluded: UserIdSet = NOBODY,
) -> EncodedEvents:
    """Load events, or a store, in encoded form.

    Parameters
    ----------
    source : an event table in any form that `open_events` takes, or the folder of a store
    scopes : the scopes to compute, as in `scopes.assign_scopes`; a store has its own
    identities : (account, person), as in `identities.read_identities`; a store has its own
    engine : the engine that computes; None is DuckDB, or the backend of an Ibis table
    excluded : ids of users whose events, by and towards them, are removed

    Raises
    ------
    EventsError : the events cannot be read, or a part of a store was erased meanwhile
    ScopeError : a scope is not valid, or is not in the store
    StoreError : the store is damaged, or identities or an engine are passed with a store

    """
    if isinstance(source, str | Path) and (is_store(Path(source)) or is_being_created(Path(source))):
        if identities is not None or engine is not None:
            option = "identities" if identities is not None else "engine"
            raise StoreError(f"{source} is a store, which has its {option} already; use the events themselves instead.")
        return exclude_users_encoded(open_store(Path(source), scopes), excluded, read_store_identities(Path(source)))
    files = _versions(source)
    with files.unchanged():
        events = load_events(source, identities, engine, excluded, list(files.versions))
        return replace(encode_events(events, scopes), files=files)


def _versions(source: Source) -> FileVersions:
    """Return the versions of the files that a source names, before they are opened."""
    if not isinstance(source, str | Path) or not Path(source).exists():
        return NO_FILES
    return FileVersions.of(readable_files(Path(source)))


def load_events(
    source: Source,
    identities: pd.DataFrame | None = None,
    engine: ibis.BaseBackend | None = None,
    excluded: UserIdSet = NOBODY,
    files: Sequence[Path] = (),
) -> ir.Table:
    """Open an event table as `open_events` does, merge identities and remove excluded users.

    `files` is as in `open_events`; the other parameters and the errors are those of `load_encoded_events`.
    """
    events = open_events(source, engine, files)
    if identities is None:
        return exclude_users(events, excluded)
    warn_if_unused(events, identities)
    return exclude_users(merge_identities(events, identities), excluded, identities)


def check_scopes(events: EncodedEvents, scopes: Sequence[str]) -> None:
    """Check that each scope requested by name has at least one user.

    Raises
    ------
    ScopeError : a scope has no users; the message lists the networks, or the topics, of the events

    """
    named = {scope for scope in scopes if scope != ALL and not scope.endswith(":*")}
    if not named:
        return
    existing = sorted(events.users.select("scope").distinct().to_pandas()["scope"])
    empty = sorted(named - set(existing))
    if empty:
        raise ScopeError(f"the scope {empty[0]} has no users: {_existing_like(empty[0], events)}")


def _existing_like(scope: str, events: EncodedEvents) -> str:
    """Say which networks, or topics, the events have, those first that are named most like a scope."""
    kind, _, name = scope.partition(":")
    scopes = events.named_scopes.to_pandas()["scope"]
    names = sorted(other.removeprefix(f"{kind}:") for other in scopes if other.startswith(f"{kind}:"))
    if not names:
        return f"the events have no {kind}s."
    near = get_close_matches(name[:100], names, n=LISTED, cutoff=0)
    return f"the events have {', '.join(f'{kind}:{other}' for other in near)}{', ...' if len(names) > LISTED else ''}."


def resolve_as_of(table: ir.Table, as_of: datetime | None = None, allow_future: bool = False) -> datetime:
    """Check an instant against events; None is the first whole second after the last event, but never after now.

    Raises
    ------
    AsOfError : no events before the instant
    FutureAsOfError : it lies in the future, and `allow_future` is not set

    """
    first, last = time_range(table)
    now = now_utc()
    if as_of is None:
        as_of = min(last + timedelta(seconds=1), now).replace(microsecond=0)
    if as_of <= first:
        raise AsOfError(
            f"as_of {as_of:%Y-%m-%d %H:%M:%S} is not after the first event, {first:%Y-%m-%d %H:%M:%S} UTC; take a "
            "later instant."
        )
    if as_of > now and not allow_future:
        raise FutureAsOfError(
            f"as_of {as_of:%Y-%m-%d %H:%M:%S} lies in the future: the last event is at {last:%Y-%m-%d %H:%M:%S} and "
            f"the present time is {now:%Y-%m-%d %H:%M:%S} UTC."
        )
    return as_of
