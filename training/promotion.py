"""Promotion: pointing the champion to another version, to roll back to an earlier one or to go forward again."""

from dataclasses import dataclass

from features.errors import RegistryError
from training import registry
from training.bundle import Bundle
from training.gate import GateError, checked_reason
from training.home import Home


@dataclass(frozen=True)
class Promotion:
    """The version that is champion now, its bundle, and what was before (None: there was no champion).

    `forced` is the reason for which its gate was overruled, None where it had passed.
    """

    version: str
    bundle: Bundle
    before: tuple[Bundle, str] | None
    forced: str | None


def promote(home: Home, version: str, force: str | None = None) -> Promotion:
    """Make a version the champion; it is tagged with when and from which version.

    Parameters
    ----------
    home : where the registry is
    version : as the registry numbers it
    force : why a version is promoted that has not passed its gate

    Raises
    ------
    RegistryError : there is no such version (says which there are), or it is the champion already
    CatalogueError : it was trained on another catalogue than the installed one
    GateError : it has not passed its gate and no reason is given, or the reason is blank

    """
    reason = checked_reason(force)
    tags = registry.tags_of(home, version)
    before = registry.kept_champion(home)
    if before is not None and before[1] == version:
        raise RegistryError(
            f"version {version} is the champion already; there are {', '.join(registry.versions(home))}."
        )
    bundle = registry.load_version(home, version)
    passed = tags.get(registry.GATE_TAG) == registry.PASSED
    if not passed and reason is None:
        raise GateError(
            f"version {version} has not passed its gate: 'clout gate --version {version}' says why. To promote it all "
            "the same, give the reason with --force REASON."
        )
    forced = None if passed else reason
    registry.promote(home, version, forced)
    return Promotion(version, bundle, before, forced)
