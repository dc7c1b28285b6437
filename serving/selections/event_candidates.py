"""Candidates from events: for topics and networks that are no scope of the snapshot."""

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from features.errors import ScopeError
from features.events.encoding import cached, encode_events
from features.events.loading import check_scopes
from serving.scoring import score_audiences, score_users
from serving.selections.candidates import NETWORK, Candidates
from serving.snapshots.snapshot import NoAudiencesError, Snapshot
from training.selection.selection_model import selection_model


def event_candidates(events: ir.Table, snapshot: Snapshot, scope: str, by_network: bool = False) -> Candidates:
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
    NoAudiencesError : the snapshot's model holds no selection model

    """
    bundle, version = snapshot.bundle, snapshot.model_version
    model = selection_model(bundle)
    scopes = [scope, "network:*"] if by_network and not scope.startswith(NETWORK) else [scope]
    encoded = encode_events(events, scopes)
    check_scopes(encoded, [scope])
    with cached(encoded) as shared:
        scores, rows = score_users(shared, snapshot.as_of, bundle, version)
        stored = score_audiences(shared, snapshot.as_of, bundle, scores, rows)
    if model is None or stored is None:
        raise NoAudiencesError("the snapshot's model holds no selection model: train one with 'clout train'.")
    if not (scores["scope"] == scope).any():
        raise ScopeError(f"nobody has a score of the scope {scope!r} in the 365 days before the snapshot's instant.")
    table = pa.Table.from_pandas(scores, preserve_index=False)
    none = np.zeros(0, dtype=np.int64)
    return Candidates(snapshot.as_of, version, bundle.horizon_days, scope, table, stored, none, model)
