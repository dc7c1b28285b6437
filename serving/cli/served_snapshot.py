"""How commands choose a snapshot: as the service does, by the champion's version."""

from datetime import datetime
from typing import TYPE_CHECKING

from features.console import warn

if TYPE_CHECKING:
    from serving.snapshots.snapshot import Snapshot
    from training.home import Home


def find_champion_version(home: "Home") -> str | None:
    """Return the champion's version; None without one, and with a warning where the registry does not answer."""
    from features.errors import RegistryError
    from training.registry.model_registry import champion_version

    try:
        return champion_version(home)
    except RegistryError as error:
        warn(f"the champion is unknown, so the newest scores are shown: {error}")
        return None


def open_served(
    home: "Home", as_of: datetime | None = None, version: str | None = None
) -> "tuple[Snapshot, str | None]":
    """Open the served snapshot, that of an instant, or a version's newest; return it and the champion's version.

    Warns if the served one is by another version than the champion, or older than others, or if it is not released.

    Raises
    ------
    SnapshotError : there are none, none of that instant, or it is damaged

    """
    from serving.snapshots.repository import open_snapshot, require_snapshots, served_otherwise

    champion = find_champion_version(home)
    if as_of is None and version is None and (detail := served_otherwise(home, require_snapshots(home), champion)):
        warn(detail)
    snapshot = open_snapshot(home, as_of, version, champion)
    if not snapshot.released:
        warn(f"version {snapshot.model_version} is not released: it was never the champion, and scored for inspection.")
    return snapshot, champion
