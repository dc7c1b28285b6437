"""Routes about one user: where the query holds nothing, there is nothing in it to be read."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response

from serving.routes.straight import StraightRoute


class ByIdRoute(StraightRoute):
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
