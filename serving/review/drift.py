"""Drift of a served snapshot: how far its users differ from those that its model was trained on."""

from typing import TYPE_CHECKING

from serving.review.feature_effects import sample
from serving.snapshots.snapshot import Snapshot
from training.config import Monitor

if TYPE_CHECKING:
    from training.drift import Drift


def snapshot_drift(snapshot: Snapshot) -> "Drift":
    """Compare a random sample of up to 2,000 visible users with the reference of the snapshot's model.

    Raises
    ------
    RegistryError : the model was made before models had references
    SnapshotError : features.arrow or the model is damaged

    """
    from training.drift import check_reference, measure_drift  # loads the training, which serving else does not need

    check_reference(snapshot.bundle, snapshot.model_version)
    return snapshot.of_visible_users("drift", lambda: measure_drift(sample(snapshot), snapshot.bundle, Monitor()))
