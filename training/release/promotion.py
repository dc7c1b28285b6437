"""Promote a registered version: make it the champion, to roll back to an earlier one or to go forward again."""

from dataclasses import dataclass

from features.errors import RegistryError
from training.home import Home
from training.model.bundle import Bundle, Champion
from training.registry import model_registry
from training.registry.model_registry import GATE_TAG, PASSED
from training.release.gate import GateError, normalize_override_reason


@dataclass(frozen=True)
class Promotion:
    """The version that is champion now, its bundle, and the champion before it, None where there was none.

    `forced` is the reason for which its gate was overridden, None where it had passed.
    """

    version: str
    bundle: Bundle
    before: Champion | None
    forced: str | None


def promote(home: Home, version: str, force: str | None = None) -> Promotion:
    """Make a version the champion, and tag it with the time and the previous champion's version.

    Parameters
    ----------
    home : where the registry is
    version : as the registry numbers it
    force : why a version is promoted that has not passed its gate

    Raises
    ------
    RegistryError : there is no such version (lists those there are), or it is the champion already
    CatalogueError : it was trained on another catalogue than the installed one
    GateError : it has not passed its gate and no reason is given, or the reason is blank

    """
    reason = normalize_override_reason(force)
    tags = model_registry.tags_of(home, version)
    before = model_registry.find_champion(home, check_catalogue=False)
    if before is not None and before.version == version:
        raise RegistryError(
            f"version {version} is the champion already; there are {', '.join(model_registry.versions(home))}."
        )
    bundle = model_registry.load_version(home, version)
    passed = tags.get(GATE_TAG) == PASSED
    if not passed and reason is None:
        raise GateError(
            f"version {version} has not passed its gate: 'clout gate --version {version}' says why. To promote it "
            "anyway, give the reason with --force REASON."
        )
    forced = None if passed else reason
    model_registry.promote(home, version, forced)
    return Promotion(version, bundle, before, forced)
