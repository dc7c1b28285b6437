"""What can go wrong, as a tree: each error says what was found, what was expected and what to do."""


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
