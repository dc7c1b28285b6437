"""What every route is given: the service's state, and the instant asked for.

These are coroutines, which a route is given at once; FastAPI would hand each plain function to another thread.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Query, Request

from features.errors import AsOfError
from features.events import instant
from serving.running.service import Service


async def _service(request: Request) -> Service:
    return request.app.state.service


def _queried(name: str, about: str, example: str) -> Callable[[str | None], Awaitable[datetime | None]]:
    """Return a dependency that reads an instant from the query; None where it is not given."""

    async def given(
        found: Annotated[str | None, Query(alias=name, description=about, examples=[example])] = None,
    ) -> datetime | None:
        return _instant(found)

    return given


def _instant(as_of: str | None) -> datetime | None:
    """Read an instant; `+` reaches the service as a space where it was not percent-encoded."""
    if as_of is None:
        return None
    try:
        return instant(as_of.replace(" ", "+") if "T" in as_of else as_of)
    except OverflowError as error:
        raise AsOfError(f"{as_of!r} lies outside the years 1 to 9999 in UTC.") from error


GivenService = Annotated[Service, Depends(_service)]
AS_OF = _queried("as_of", "Of which snapshot, ISO 8601; the newest unless given", "2017-07-30T00:00:00Z")
START = _queried(
    "from", "The earlier snapshot's instant; of the one before the later unless given", "2017-07-02T00:00:00Z"
)
END = _queried("to", "The later snapshot's instant; of the newest unless given", "2017-07-30T00:00:00Z")
COUNTS = "instant that counts, ISO 8601; a date is its midnight. Unbounded unless given"
GivenAsOf = Annotated[datetime | None, Depends(AS_OF)]
GivenStart = Annotated[datetime | None, Depends(START)]
GivenEnd = Annotated[datetime | None, Depends(END)]
GivenSince = Annotated[datetime | None, Depends(_queried("from", f"The first {COUNTS}", "2017-01-01T00:00:00Z"))]
GivenUntil = Annotated[datetime | None, Depends(_queried("to", f"The last {COUNTS}", "2017-07-30T00:00:00Z"))]
GivenScope = Annotated[
    str, Query(description="A part of the activity: all, network:NAME or topic:NAME", examples=["all", "topic:birds"])
]
