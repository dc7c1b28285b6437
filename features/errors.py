"""What can go wrong, as a tree: each error says what was found, what was expected and what to do."""

from collections.abc import Iterable


class CloutError(Exception):
    """Anything a caller can put right; the command prints it and exits with 2, the service answers with a problem."""


class EventsError(CloutError):
    """The activity cannot be read or does not fit the event table."""


class ScopeError(CloutError):
    """A scope is asked for that is none, or that nobody has."""


class IdentitiesError(CloutError):
    """The table of identities contradicts itself or cannot be read."""


class StoreError(CloutError):
    """A store of acts is damaged, taken, or of another version."""


class EngineError(CloutError):
    """The engine that was asked for is unknown or cannot be reached."""


class OutputError(CloutError):
    """A result cannot be written where it was asked for."""


class AsOfError(CloutError):
    """The asked instant lies where the events cannot answer."""


class ConfigError(CloutError):
    """The configuration holds a field or value that Clout does not know."""


class TooSmallError(CloutError):
    """The community is too small or too young to train on."""


class CatalogueError(CloutError):
    """Features do not fit the catalogue that a model was trained on."""


class RegistryError(CloutError):
    """The model registry cannot be reached or holds no such model."""


class UnknownUserError(CloutError):
    """Nobody of that id is in the snapshot."""


class SnapshotError(CloutError):
    """A snapshot is missing or damaged."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message; the name of its type where it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'actor'?)` where one of the known names is close to a name, else an empty text."""
    from difflib import get_close_matches

    near = get_close_matches(name[:100], list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
