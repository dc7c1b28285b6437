"""Errors as a tree: each message says what was found, what was expected and what to do."""

import os
from collections.abc import Iterable
from pathlib import Path


class CloutError(Exception):
    """An error that the caller can correct; the command prints it and exits with 2, the service returns a problem."""


class EventsError(CloutError):
    """The activity cannot be read or does not fit the event table."""


class ScopeError(CloutError):
    """A scope is not valid, or no user has it."""


class IdentitiesError(CloutError):
    """The table of identities contradicts itself or cannot be read."""


class StoreError(CloutError):
    """A store of events is damaged, in use, or of another version."""


class EngineError(CloutError):
    """The requested engine is unknown or cannot be reached."""


class OutputError(CloutError):
    """A result cannot be written to the requested path."""


class AsOfError(CloutError):
    """The requested instant is not valid or outside the range of the events."""


class FutureAsOfError(AsOfError):
    """The requested instant lies in the future."""


class ConfigError(CloutError):
    """The configuration has a field or value that Clout does not know."""


class TooSmallError(CloutError):
    """The community is too small or too young to train on."""


class CatalogueError(CloutError):
    """Features do not match the catalogue that a model was trained on."""


class RegistryError(CloutError):
    """The model registry cannot be reached or has no such model."""


class UnknownUserError(CloutError):
    """The snapshot has no user with that id."""


class AbsentScopeError(UnknownUserError):
    """The user has no score of that scope, but of others."""


class SnapshotError(CloutError):
    """A snapshot is missing or damaged."""


class MemoryLimitError(CloutError):
    """The memory that a computation may take does not suffice."""


def memory_limit_error(error: BaseException) -> MemoryLimitError | None:
    """Return the error to show where another one says that memory ran out; None for other errors."""
    text = str(error)
    if isinstance(error, MemoryError) or "bad_alloc" in text:
        return MemoryLimitError("this machine has too little memory; end other programs, or use a larger one.")
    if not text.startswith("Out of Memory Error"):
        return None
    if "temp_directory_size" in text or "No space left" in text:
        return MemoryLimitError("the disk for temporary files is full; free space, or set TMPDIR to a larger disk.")
    limit = os.environ.get("CLOUT_MEMORY", "4GB")
    return MemoryLimitError(f"the memory of {limit} does not suffice; set CLOUT_MEMORY to more, such as 16GB.")


STORAGE_ADVICE = {
    "free disk space there": ("no space left", "disk is full", "quota exceeded", "file too large"),
    "let this user write there, or choose another folder": (
        "read-only file system",
        "permission denied",
        "operation not permitted",
        "readonly database",
        "unable to open database file",
    ),
    "another process is using it, so try again": ("database is locked",),
}


def storage_advice(error: BaseException) -> str | None:
    """Return what to do where an error says that a disk is full, not writable or in use; None for other errors."""
    return _advice(str(error))


def _advice(text: str) -> str | None:
    text = text.lower()
    return next((advice for advice, phrases in STORAGE_ADVICE.items() if any(part in text for part in phrases)), None)


def storage_error(error: BaseException) -> OutputError | None:
    """Return the error to show where the storage refuses, such as a full disk; None for other errors."""
    for line in str(error).splitlines():  # SQLAlchemy has other lines before the one that matters
        if advice := _advice(line):
            return OutputError(f"{line.removesuffix('.')}; {advice}.")
    return None


def write_error(path: Path, error: OSError) -> OutputError:
    """Return the error of a path that cannot be written."""
    advice = storage_advice(error)
    reason = error.strerror or first_line(error)
    return OutputError(f"{path} cannot be written: {reason.removesuffix('.')}{f'; {advice}' if advice else ''}.")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message; the name of its type where it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return ` (did you mean 'actor'?)` if one of the valid names is close to a name, else an empty text."""
    from difflib import get_close_matches

    near = get_close_matches(name[:100], list(names), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
