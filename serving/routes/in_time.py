"""Routes that wait for a disk or a database: whoever asked is told when that takes too long."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

from serving.routes.quick_json import QuickJsonRequest

WHAT_NOW = (
    "What was asked for goes on, and may still be done. Ask again later; where it is so each time, see whether the "
    "disk and the database answer."
)


class InTimeRoute(APIRoute):
    """A route that answers within `Limits.answer_seconds`.

    A thread cannot be ended: what was begun goes on, and what it changes is changed.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, which waits no longer than that."""
        handle = super().get_route_handler()

        async def in_time(request: Request) -> Response:
            seconds = request.app.state.limits.answer_seconds
            work = asyncio.ensure_future(handle(QuickJsonRequest(request.scope, request.receive)))
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
