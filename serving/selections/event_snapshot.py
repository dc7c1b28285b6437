"""Snapshots from events: for topics and networks that a snapshot does not score."""

from pathlib import Path
from tempfile import TemporaryDirectory

import ibis.expr.types as ir

from features.errors import ScopeError
from features.events.encoding import encode_events
from features.events.loading import check_scopes
from serving.scoring import score_audiences, score_to_disk
from serving.selections.candidates import NETWORK
from serving.snapshots.repository import publish_snapshot, read_snapshot
from serving.snapshots.snapshot import Snapshot
from training.home import Home


def event_snapshot(events: ir.Table, snapshot: Snapshot, scope: str, by_network: bool = False) -> Snapshot:
    """Score the users of a scope from events, at the instant of a snapshot and by its model.

    Parameters
    ----------
    events : an event table from `load_events`, without opted-out users
    snapshot : whose instant and model are used
    scope : a part of the activity that the snapshot need not hold
    by_network : whether to score every network too

    Raises
    ------
    ScopeError : the scope has no users

    """
    bundle, version, as_of = snapshot.bundle, snapshot.model_version, snapshot.as_of
    encoded = encode_events(events, [scope, "network:*"] if by_network and not scope.startswith(NETWORK) else [scope])
    check_scopes(encoded, [scope])
    with TemporaryDirectory() as folder:
        rows = score_to_disk(encoded, as_of, bundle, version, Path(folder))
        audiences = score_audiences(bundle, rows)
        if scope not in set(rows.frame(["scope"])["scope"]):
            raise ScopeError(
                f"nobody has a score of the scope {scope!r} in the 365 days before the snapshot's instant."
            )
        written = publish_snapshot(Home(Path(folder)), as_of, bundle, version, rows, audiences, snapshot.released)
        scored = read_snapshot(written, snapshot.hidden)
    scored.__dict__["bundle"] = bundle  # its copy in the folder is gone; mapped files stay readable
    return scored
