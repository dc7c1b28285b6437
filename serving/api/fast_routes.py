"""Fast paths for hot routes: valid requests bypass FastAPI's dependency resolution and response validation.

Every request that a fast path does not understand goes to FastAPI, which either answers it or says what is wrong.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from fastapi import HTTPException, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from msgspec import Meta, Struct, defstruct
from msgspec.json import Decoder
from msgspec.structs import astuple
from pydantic_core import from_json

from features.catalogue import CATALOGUE
from features.errors import did_you_mean
from serving.api.dependencies import get_service
from serving.api.schemas import MAX_ABS_VALUE, MAX_PER_REQUEST
from serving.runtime.state import ServiceState

TIMEOUT_ADVICE = (
    "The work continues and may still succeed. Try again later; if it keeps timing out, check the disk and the "
    "database."
)
Value = Annotated[float, Meta(ge=-MAX_ABS_VALUE, le=MAX_ABS_VALUE)] | None
STRICT: dict[str, Any] = {"forbid_unknown_fields": True, "gc": False}
NAMES = frozenset(CATALOGUE.names)
CACHED_DECODERS = 4  # a new champion may use other features


class ServiceRoute(APIRoute):
    """A route that refuses unknown query parameters, which are often misspelt ones, if it is `strict`."""

    strict = True

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return a handler that answers 422 with the known parameters."""
        handle, names = super().get_route_handler(), _query_names(self.dependant)

        async def with_valid_parameters(request: Request) -> Response:
            if self.strict and request.scope["query_string"]:
                _check_names(request.query_params, names)
            return await handle(request)

        return with_valid_parameters


def _query_names(dependant: Dependant) -> frozenset[str]:
    """Return the names of a route's query parameters, those of its dependencies included."""
    names = frozenset(field.alias for field in dependant.query_params)
    return names.union(*map(_query_names, dependant.dependencies))


def _check_names(query: Iterable[str], valid: frozenset[str]) -> None:
    expected = f"expected {', '.join(sorted(valid))}" if valid else "this route has none"
    errors = [
        {
            "type": "unknown_parameter",
            "loc": ("query", name[:100]),
            "msg": f"unknown query parameter{did_you_mean(name, valid)}; {expected}",
            "input": None,
        }
        for name in query
        if name not in valid
    ]
    if errors:
        raise RequestValidationError(errors)


class FastRoute(ServiceRoute):
    """A route that may bypass FastAPI. The same checks of the caller run first."""

    async def authorize(self, request: Request) -> ServiceState:
        """Run the checks that the route declares, and return the state to answer from."""
        for check in self.dependencies:
            assert check.dependency is not None
            await check.dependency(request)
        return await get_service(request)


class ByIdRoute(FastRoute):
    """A route `(user, snapshot)` whose other parameters have defaults.

    FastAPI takes longer to resolve absent optional parameters than the endpoint takes to answer. Without a query
    string, the endpoint is called directly, with the user of the path and the served snapshot.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return a handler that passes requests with a query string to FastAPI."""
        handle = super().get_route_handler()

        async def by_id(request: Request) -> Response:
            if request.scope["query_string"]:
                return await handle(request)
            service = await self.authorize(request)
            endpoint: Callable[..., Awaitable[Response]] = self.endpoint
            return await endpoint(user=request.path_params["user"], snapshot=service.snapshot())

        return by_id


class TimeoutRoute(ServiceRoute):
    """A route with a timeout, `Limits.answer_seconds`, for work that waits for a disk or a database.

    Threads cannot be cancelled: after the timeout the work continues, and its changes take effect.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return a handler that answers 503 after the timeout."""
        handle = super().get_route_handler()

        async def with_timeout(request: Request) -> Response:
            seconds = request.app.state.limits.answer_seconds
            work = asyncio.ensure_future(handle(FastJsonRequest(request.scope, request.receive)))
            try:
                done, _ = await asyncio.wait({work}, timeout=seconds)
            except asyncio.CancelledError:
                work.cancel()
                raise
            if not done:
                work.add_done_callback(_consume_result)
                raise HTTPException(503, f"no answer within {seconds:g} seconds. {TIMEOUT_ADVICE}")
            return work.result()

        return with_timeout


def _consume_result(work: asyncio.Future[Response]) -> None:
    """Retrieve the exception of abandoned work, so that asyncio does not log it as never retrieved."""
    if not work.cancelled():
        work.exception()


def json_response(body: bytes) -> Response:
    """Return serialised JSON as a response, which FastAPI would otherwise validate again."""
    return Response(body, media_type="application/json")


class FastJsonRequest(Request):
    """A request whose JSON is parsed by pydantic, in a third of the time of Python's parser."""

    async def json(self) -> Any:
        """Parse the body.

        Raises
        ------
        json.JSONDecodeError : the body is not valid JSON; FastAPI answers 422

        """
        if not hasattr(self, "_json"):
            try:
                self._json = from_json(await self.body())
            except ValueError as error:
                raise json.JSONDecodeError(str(error), "", 0) from error
        return self._json


class _Table(Struct, **STRICT):
    features: list[str]
    values: list[list[Value]]


def decode_rows(body: bytes, names: tuple[str, ...]) -> np.ndarray | None:
    """Decode a body with a table, or with rows that hold only features of the model, straight into an array.

    Any other body returns None: `serving.api.schemas` parses ids, and reports what is wrong with invalid bodies.

    Parameters
    ----------
    body : JSON
    names : the model's features, in its order

    Returns
    -------
    shape (rows, names), NaN where unknown

    """
    try:
        request = _decoder(names).decode(body)
    except (ValueError, RecursionError):
        return None
    if (request.rows is None) == (request.table is None):
        return None
    rows = request.rows if request.table is None else request.table.values
    if not 0 < len(rows) <= MAX_PER_REQUEST:
        return None
    if request.rows is None:
        return _table_matrix(request.table, names)
    return as_array(list(map(astuple, rows)), len(names))


def model_columns(features: Sequence[str], values: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Reorder the columns of an array to the model's features; NaN where a feature is absent.

    Parameters
    ----------
    features : the names of the columns
    values : shape (rows, features)
    names : the model's features, in its order

    """
    if list(features) == list(names):
        return values
    matrix = np.full((len(values), len(names)), np.nan)
    for column, name in enumerate(features):
        if name in names:
            matrix[:, names.index(name)] = values[:, column]
    return matrix


def as_array(values: Sequence[Sequence[float | None]], features: int) -> np.ndarray:
    """Return rows of values as an array, shape (rows, features), NaN where unknown."""
    return np.array(values, dtype=float).reshape(len(values), features)


def _table_matrix(table: _Table, names: tuple[str, ...]) -> np.ndarray | None:
    features = table.features
    valid_names = NAMES.issuperset(features) and 0 < len(set(features)) == len(features)
    if not valid_names or set(map(len, table.values)) != {len(features)}:
        return None
    return model_columns(features, as_array(table.values, len(features)), names)


@lru_cache(maxsize=CACHED_DECODERS)
def _decoder(names: tuple[str, ...]) -> Decoder[Any]:
    """Return the decoder of bodies whose rows hold some of these features."""
    row: Any = defstruct("Row", [(name, Value, None) for name in names], **STRICT)
    body = defstruct("Body", [("table", _Table | None, None), ("rows", list[row] | None, None)], **STRICT)
    return Decoder(body)
