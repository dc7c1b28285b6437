"""Routes that are asked all day: what is as it should be is answered without what FastAPI would do about the rest.

Routes about one user: where the query holds nothing, there is nothing in it to be read.
Routes that wait for a disk or a database: whoever asked is told when that takes too long.
JSON read in a third of the time that Python's own parser takes, and answers that are written once.
Feature rows as they are posted, read from JSON straight into what the model sees.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from msgspec import Meta, Struct, defstruct
from msgspec.json import Decoder
from msgspec.structs import astuple
from pydantic_core import from_json

from features.catalogue import CATALOGUE
from serving.api.dependencies import get_service
from serving.api.schemas import LARGEST_VALUE, MOST_PER_REQUEST
from serving.runtime.state import ServiceState


class FastRoute(APIRoute):
    """A route that may answer past FastAPI, behind the same checks of the caller."""

    async def passed(self, request: Request) -> ServiceState:
        """Pass the checks that the route declares, and return what to answer from."""
        for check in self.dependencies:
            assert check.dependency is not None
            await check.dependency(request)
        return await get_service(request)


class ByIdRoute(FastRoute):
    """A route `(user, snapshot)` whose other parameters have defaults.

    FastAPI spends more time on finding that they were not given than the answer takes. Without a query the route is
    called with the user of the path and the newest snapshot.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, which leaves requests with a query to FastAPI."""
        handle = super().get_route_handler()

        async def by_id(request: Request) -> Response:
            if request.scope["query_string"]:
                return await handle(request)
            service = await self.passed(request)
            return await self.endpoint(user=request.path_params["user"], snapshot=service.snapshot())

        return by_id


WHAT_NOW = (
    "What was asked for goes on, and may still be done. Ask again later; where it is so each time, see whether the "
    "disk and the database answer."
)


class TimeoutRoute(APIRoute):
    """A route that answers within `Limits.answer_seconds`.

    A thread cannot be ended: what was begun goes on, and what it changes is changed.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, which waits no longer than that."""
        handle = super().get_route_handler()

        async def in_time(request: Request) -> Response:
            seconds = request.app.state.limits.answer_seconds
            work = asyncio.ensure_future(handle(FastJsonRequest(request.scope, request.receive)))
            try:
                done, _ = await asyncio.wait({work}, timeout=seconds)
            except asyncio.CancelledError:
                work.cancel()
                raise
            if not done:
                work.add_done_callback(_forget)
                raise HTTPException(503, f"no answer was there within {seconds:g} seconds. {WHAT_NOW}")
            return work.result()

        return in_time


def _forget(work: asyncio.Future) -> None:
    """Take notice of how a work ended that nobody waits for any more."""
    if not work.cancelled():
        work.exception()


def json_response(written: bytes) -> Response:
    """Answer what a form has written, which FastAPI would look through once more."""
    return Response(written, media_type="application/json")


class FastJsonRequest(Request):
    """A request whose JSON is read by pydantic's parser."""

    async def json(self) -> Any:
        """Return the body.

        Raises
        ------
        json.JSONDecodeError : it is no JSON, which FastAPI makes a 422 of

        """
        if not hasattr(self, "_json"):
            try:
                self._json = from_json(await self.body())
            except ValueError as error:
                raise json.JSONDecodeError(str(error), "", 0) from error
        return self._json


Value = Annotated[float, Meta(ge=-LARGEST_VALUE, le=LARGEST_VALUE)] | None
STRICT: dict[str, Any] = {"forbid_unknown_fields": True, "gc": False}
NAMES = frozenset(CATALOGUE.names)
KEPT = 4  # a new champion may see other features


class _Table(Struct, **STRICT):
    features: list[str]
    values: list[list[Value]]


def read_posted(body: bytes, names: tuple[str, ...]) -> np.ndarray | None:
    """Read a table, or rows of features that the model sees.

    Of anything else None is returned, be it ids or not as it should be: the forms (`serving.api.schemas`) take longer
    over it and say what is wrong.

    Parameters
    ----------
    body : JSON
    names : the features that the model sees, in its order

    Returns
    -------
    shape (rows, names), NaN where unknown

    """
    try:
        read = _reader(names).decode(body)
    except (ValueError, RecursionError):
        return None
    if (read.rows is None) == (read.table is None):
        return None
    given = read.rows if read.table is None else read.table.values
    if not 0 < len(given) <= MOST_PER_REQUEST:
        return None
    return _of_table(read.table, names) if read.rows is None else as_array(list(map(astuple, given)), len(names))


def seen(features: Sequence[str], values: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return the columns of an array that the model sees, in its order, NaN where it has none."""
    if list(features) == list(names):
        return values
    matrix = np.full((len(values), len(names)), np.nan)
    for place, name in enumerate(features):
        if name in names:
            matrix[:, names.index(name)] = values[:, place]
    return matrix


def as_array(values: Sequence[Sequence[float | None]], features: int) -> np.ndarray:
    """Return rows of values, one for each feature, as an array, NaN where unknown."""
    return np.array(values, dtype=float).reshape(len(values), features)


def _of_table(table: _Table, names: tuple[str, ...]) -> np.ndarray | None:
    features = table.features
    known = NAMES.issuperset(features) and 0 < len(set(features)) == len(features)
    even = set(map(len, table.values)) == {len(features)}
    return seen(features, as_array(table.values, len(features)), names) if known and even else None


@lru_cache(maxsize=KEPT)
def _reader(names: tuple[str, ...]) -> Decoder:
    """Make a reader of bodies whose rows hold some of these features."""
    row: Any = defstruct("Row", [(name, Value, None) for name in names], **STRICT)
    body = defstruct("Body", [("table", _Table | None, None), ("rows", list[row] | None, None)], **STRICT)
    return Decoder(body)
