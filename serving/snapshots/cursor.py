"""Cursors: where the next page of a search begins, in a text that clients hand back."""

from base64 import b64decode, urlsafe_b64encode
from dataclasses import dataclass, replace
from datetime import datetime
from math import isfinite
from typing import Annotated
from zlib import crc32

from pydantic import Field, TypeAdapter

from features.errors import CloutError
from features.utc import parse_utc
from serving.snapshots.query import PageToken, RangeError, SearchQuery, UserFilter

CHECKSUM_BYTES = 4


class CursorError(CloutError):
    """A cursor is damaged, or belongs to another search."""


@dataclass(frozen=True)
class Cursor:
    """The snapshot and the query of a search, and the last user it returned; valid while the snapshot exists.

    `filter` is what the query holds beside its bounds, and `since` the instant of the earlier snapshot; None without.
    A cursor holds no secret and grants no right: a forged one can ask only for what a search answers anyway.
    """

    as_of: datetime
    model_version: str
    query: Annotated[SearchQuery, Field(alias="wanted")]  # the name in cursors that clients hold
    last: PageToken
    filter: UserFilter | None = None
    since: datetime | None = None

    @property
    def user_filter(self) -> UserFilter:
        """The whole query."""
        return replace(self.filter or UserFilter(), bounds=self.query)


ADAPTER = TypeAdapter(Cursor)


def encode_cursor(cursor: Cursor) -> str:
    """Encode a cursor: JSON without what has its default, and its checksum, in URL-safe base64."""
    document = ADAPTER.dump_json(cursor, by_alias=True, exclude_defaults=True)
    return urlsafe_b64encode(_checksum(document) + document).decode().rstrip("=")


def decode_cursor(text: str) -> Cursor:
    """Decode a cursor.

    Raises
    ------
    CursorError : the text is not a cursor, or one that was cut off or altered

    """
    try:
        raw = b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        if raw[:CHECKSUM_BYTES] != _checksum(raw[CHECKSUM_BYTES:]):
            raise ValueError("its checksum differs")
        cursor = ADAPTER.validate_json(raw[CHECKSUM_BYTES:], strict=True)
        if not all(isfinite(number) for number in (cursor.last.score, cursor.last.value) if number is not None):
            raise ValueError("it holds a number that is not finite")
        since = None if cursor.since is None else parse_utc(cursor.since)
        return replace(cursor, as_of=parse_utc(cursor.as_of), since=since)
    except (ValueError, RangeError) as error:
        raise CursorError(
            "the cursor is damaged: expected the next_cursor of an earlier page, complete and unchanged. Begin again "
            "without one."
        ) from error


def _checksum(document: bytes) -> bytes:
    return crc32(document).to_bytes(CHECKSUM_BYTES, "big")
