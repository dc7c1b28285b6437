"""Search: the users of one snapshot that match a query, page by page, and the cursor of the next page."""

from base64 import b64decode, urlsafe_b64encode
from dataclasses import asdict, dataclass
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING, Annotated
from zlib import crc32

from pydantic import Field, TypeAdapter

from features.errors import CloutError
from features.utc import parse_utc
from serving.snapshots.explanation import ScoreRow
from serving.snapshots.ranking import PageToken, SearchQuery

if TYPE_CHECKING:
    from serving.snapshots.snapshot import Snapshot

CHECKSUM_BYTES = 4


@dataclass(frozen=True)
class SearchPage:
    """One page: its scores, how many users match on all pages, and whether another page follows."""

    matching: int
    scores: list[ScoreRow]
    more: bool


def search(snapshot: "Snapshot", query: SearchQuery, limit: int, last: PageToken | None = None) -> SearchPage:
    """Return a page of the users that match, by score, highest first, then by user, code point by code point.

    Parameters
    ----------
    snapshot : whose users
    query : which of them
    limit : the page size
    last : the user after whom the page begins; None for the first page

    Raises
    ------
    ScopeError : nobody has a score of the scope

    """
    ranking = snapshot.ranking
    matches = ranking.matches(query)
    rest = matches if last is None else ranking.after(last, matches)
    page = rest[:limit]
    return SearchPage(len(matches), snapshot.scores_at(ranking.rows(page)), len(rest) > len(page))


class CursorError(CloutError):
    """A cursor is damaged, or belongs to another search."""


@dataclass(frozen=True)
class Cursor:
    """The snapshot and the query of a search, and the last user it returned; valid while the snapshot exists.

    A cursor holds no secret and grants no right: a forged one can ask only for what a search answers anyway.
    """

    as_of: datetime
    model_version: str
    query: Annotated[SearchQuery, Field(alias="wanted")]  # the name in cursors that clients hold
    last: PageToken


ADAPTER = TypeAdapter(Cursor)


def encode_cursor(cursor: Cursor) -> str:
    """Encode a cursor: JSON and its checksum, in URL-safe base64."""
    document = ADAPTER.dump_json(cursor, by_alias=True)
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
        numbers = [cursor.last.score, *asdict(cursor.query).values()]
        if not all(isfinite(number) for number in numbers if isinstance(number, float)):
            raise ValueError("it holds a number that is not finite")
        return Cursor(parse_utc(cursor.as_of), cursor.model_version, cursor.query, cursor.last)
    except ValueError as error:
        raise CursorError(
            "the cursor is damaged: expected the next_cursor of an earlier page, complete and unchanged. Begin again "
            "without one."
        ) from error


def _checksum(document: bytes) -> bytes:
    return crc32(document).to_bytes(CHECKSUM_BYTES, "big")
