"""A part of the service that is renewed while it answers: looked at cheaply, loaded aside, held until a better one."""

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
AGAIN_SECONDS = 60.0
UNKNOWN = object()
log = logging.getLogger("clout")


@dataclass(frozen=True)
class Failure:
    """A load that failed: the mark it was tried at, why, since when by the clock, and when to try again (monotonic)."""

    mark: object
    error: CloutError
    since: datetime
    again: float


class Refreshable(Generic[T]):
    """One part and the newest good state of it.

    Parameters
    ----------
    name : in the log, in `/ready` and in the metrics
    mark : tells, cheaply, what there is; as long as it tells the same, nothing is loaded
    load : loads what there is, whole
    unforeseen : the error that an unforeseen one is told as
    found : what there is before the first look
    doubt : why that may be older than what there is; it is stale until the first look

    """

    def __init__(
        self,
        name: str,
        mark: Callable[[], object],
        load: Callable[[], T],
        unforeseen: type[CloutError] = CloutError,
        found: T | None = None,
        doubt: str | None = None,
    ):
        self.name = name
        self.loaded = self.failed = 0
        self._tell_mark, self._load, self._unforeseen = mark, load, unforeseen
        self._mark = UNKNOWN
        self._found = found
        self._failure = None if doubt is None else Failure(UNKNOWN, unforeseen(doubt), datetime.now(UTC), -math.inf)

    @property
    def part(self) -> T | CloutError:
        """The newest that could be loaded, or the error that says why there is none."""
        if self._found is not None:
            return self._found
        return self._failure.error if self._failure else self._unforeseen(f"the {self.name} was not looked for yet.")

    @property
    def stale(self) -> Stale | None:
        """Why the part is not what it should be, None where it is, or where there is none at all."""
        failure = self._failure
        return Stale(str(failure.error), failure.since) if failure and self._found is not None else None

    def look(self) -> bool:
        """Take up what there is now; tell whether anything is otherwise than before, for better or worse."""
        mark = UNKNOWN
        try:
            mark = self._tell_mark()
            if mark == self._mark:
                return self._settled()
            if not self._due(mark):
                return False
            found = self._load()
            if self._tell_mark() != mark:
                raise self._unforeseen(f"the {self.name} changed while it was loaded; the next look tries again.")
        except CloutError as error:
            return self._fail(mark, error)
        except Exception as error:
            log.exception("Loading the %s failed", self.name)
            return self._fail(mark, self._unforeseen(f"loading the {self.name} failed ({error!r}); see the log."))
        self._mark, self._found = mark, found
        self.loaded += 1
        self._settled()
        return True

    def _due(self, mark: object) -> bool:
        """Tell whether to load: what failed is not tried again at every look, unless there is something else now."""
        failure = self._failure
        return failure is None or failure.mark != mark or time.monotonic() >= failure.again

    def _settled(self) -> bool:
        if self._failure is None:
            return False
        log.info("The %s is as it should be again", self.name)
        self._failure = None
        return True

    def _fail(self, mark: object, error: CloutError) -> bool:
        before = self._failure
        self.failed += 1
        since = before.since if before else datetime.now(UTC)
        self._failure = Failure(mark, error, since, time.monotonic() + AGAIN_SECONDS)
        if before is not None and str(before.error) == str(error):
            return False
        log.warning("The %s cannot be loaded: %s", self.name, error)
        return True
