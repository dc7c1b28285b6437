"""Routes that are asked all day: what is as it should be is answered without what FastAPI would do about the rest."""

from fastapi import Request
from fastapi.routing import APIRoute

from serving.routes.state import given_service
from serving.running.service import Service


class StraightRoute(APIRoute):
    """A route that may answer past FastAPI, behind the same checks of the caller."""

    async def passed(self, request: Request) -> Service:
        """Pass the checks that the route declares, and return what to answer from."""
        for check in self.dependencies:
            assert check.dependency is not None
            await check.dependency(request)
        return await given_service(request)
