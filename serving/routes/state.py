"""What every route is given: the service's state, and the instant asked for."""

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Query, Request

from features.errors import AsOfError
from features.events import instant
from serving.service import Service


def _service(request: Request) -> Service:
    return request.app.state.service


def _as_of(
    as_of: Annotated[
        str | None,
        Query(description="Of which snapshot, ISO 8601; the newest unless given", examples=["2017-07-30T00:00:00Z"]),
    ] = None,
) -> datetime | None:
    return _instant(as_of)


def _start(
    start: Annotated[
        str | None,
        Query(
            alias="from",
            description="The earlier snapshot's instant; of the one before the later unless given",
            examples=["2017-07-02T00:00:00Z"],
        ),
    ] = None,
) -> datetime | None:
    return _instant(start)


def _end(
    end: Annotated[
        str | None,
        Query(
            alias="to",
            description="The later snapshot's instant; of the newest unless given",
            examples=["2017-07-30T00:00:00Z"],
        ),
    ] = None,
) -> datetime | None:
    return _instant(end)


def _since(
    since: Annotated[
        str | None,
        Query(
            alias="from",
            description="The first instant that counts, ISO 8601; a date is its midnight. Unbounded unless given",
            examples=["2017-01-01T00:00:00Z"],
        ),
    ] = None,
) -> datetime | None:
    return _instant(since)


def _until(
    until: Annotated[
        str | None,
        Query(
            alias="to",
            description="The last instant that counts, ISO 8601; a date is its midnight. Unbounded unless given",
            examples=["2017-07-30T00:00:00Z"],
        ),
    ] = None,
) -> datetime | None:
    return _instant(until)


def _instant(as_of: str | None) -> datetime | None:
    """Read an instant; `+` reaches the service as a space where it was not percent-encoded."""
    if as_of is None:
        return None
    try:
        return instant(as_of.replace(" ", "+") if "T" in as_of else as_of)
    except OverflowError as error:
        raise AsOfError(f"{as_of!r} lies outside the years 1 to 9999 in UTC.") from error


GivenService = Annotated[Service, Depends(_service)]
GivenAsOf = Annotated[datetime | None, Depends(_as_of)]
GivenStart = Annotated[datetime | None, Depends(_start)]
GivenEnd = Annotated[datetime | None, Depends(_end)]
GivenSince = Annotated[datetime | None, Depends(_since)]
GivenUntil = Annotated[datetime | None, Depends(_until)]
GivenScope = Annotated[
    str, Query(description="A part of the activity: all, network:NAME or topic:NAME", examples=["all", "topic:birds"])
]
