"""A part of the service that is refreshed while it answers: checked cheaply, loaded in the background, then swapped."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from features.errors import CloutError
from serving.runtime.state import Stale

T = TypeVar("T")
RETRY_SECONDS = 60.0
UNKNOWN = object()
log = logging.getLogger("clout")


@dataclass(frozen=True)
class Failure:
    """A failed load: the version it was tried at, the error, since when (UTC), and when to retry (monotonic)."""

    version: object
    error: CloutError
    since: datetime
    retry_at: float


class Refreshable(Generic[T]):
    """One part and the newest good state of it.

    Parameters
    ----------
    name : in the log, in `/ready` and in the metrics
    version : returns, cheaply, which version there is; nothing is loaded while it stays the same
    load : loads that version
    error_type : of the error that an unexpected exception becomes
    initial : the part before the first look
    doubt : why the initial part may be outdated; it is stale until the first look

    """

    def __init__(
        self,
        name: str,
        version: Callable[[], object],
        load: Callable[[], T],
        error_type: type[CloutError] = CloutError,
        initial: T | None = None,
        doubt: str | None = None,
    ):
        self.name = name
        self.loaded = self.failed = 0
        self._read_version, self._load, self._error_type = version, load, error_type
        self._version = UNKNOWN
        self._part = initial
        self._failure = None if doubt is None else Failure(UNKNOWN, error_type(doubt), datetime.now(UTC), -math.inf)

    @property
    def part(self) -> T | CloutError:
        """The newest part that could be loaded, or the error that says why there is none."""
        if self._part is not None:
            return self._part
        return self._failure.error if self._failure else self._error_type(f"the {self.name} was not looked for yet.")

    @property
    def stale(self) -> Stale | None:
        """Why the part is outdated; None if it is current or missing."""
        failure = self._failure
        return Stale(str(failure.error), failure.since) if failure and self._part is not None else None

    def look(self) -> bool:
        """Load the current version if it is new; return whether the part or its failure changed."""
        version = UNKNOWN
        try:
            version = self._read_version()
            if version == self._version:
                return self._recover()
            if not self._due(version):
                return False
            part = self._load()
            if self._read_version() != version:
                raise self._error_type(f"the {self.name} changed while it was loaded; the next look tries again.")
        except CloutError as error:
            return self._fail(version, error)
        except Exception as error:
            log.exception("Loading the %s failed", self.name)
            return self._fail(version, self._error_type(f"loading the {self.name} failed ({error!r}); see the log."))
        self._version, self._part = version, part
        self.loaded += 1
        self._recover()
        return True

    def _due(self, version: object) -> bool:
        """Return whether to load: a failed version is retried after a while, another one at once."""
        failure = self._failure
        return failure is None or failure.version != version or time.monotonic() >= failure.retry_at

    def _recover(self) -> bool:
        """End a failure; return whether there was one."""
        if self._failure is None:
            return False
        log.info("The %s is up to date again", self.name)
        self._failure = None
        return True

    def _fail(self, version: object, error: CloutError) -> bool:
        before = self._failure
        self.failed += 1
        since = before.since if before else datetime.now(UTC)
        self._failure = Failure(version, error, since, time.monotonic() + RETRY_SECONDS)
        if before is not None and str(before.error) == str(error):
            return False
        log.warning("The %s cannot be loaded: %s", self.name, error)
        return True
