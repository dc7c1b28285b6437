"""Search: who stands where in one snapshot, page by page.

The order of those who are shown: everybody's, without whoever is hidden.
Cursors: where the next page of a search begins, as one opaque text.
"""

from base64 import b64decode, urlsafe_b64encode
from dataclasses import asdict, dataclass
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING
from zlib import crc32

from pydantic import TypeAdapter

from features.errors import CloutError
from features.utc import parse_utc
from serving.snapshots.ranking import PageToken, SearchQuery

if TYPE_CHECKING:
    from serving.snapshots.snapshot import Snapshot


@dataclass(frozen=True)
class SearchPage:
    """One page: the scores as `Snapshot.score` gives them, how many match on all pages, whether more follow."""

    matching: int
    scores: list[dict]
    more: bool


def search(snapshot: "Snapshot", wanted: SearchQuery, limit: int, last: PageToken | None = None) -> SearchPage:
    """Return a page of those wanted, by score, highest first, then by user, code point by code point.

    Parameters
    ----------
    snapshot : whose users
    wanted : which of them
    limit : how many at most
    last : after whom the page begins; the first page unless given

    Raises
    ------
    ScopeError : nobody has a score of the scope

    """
    every = snapshot.ranking.stretch(wanted)
    left = every if last is None else snapshot.ranking.after(last, every)
    page = left[:limit]
    return SearchPage(len(every), snapshot.scores_at(snapshot.ranking.places(page)), len(left) > len(page))


SUM_BYTES = 4


class CursorError(CloutError):
    """A cursor is damaged, or of another search."""


@dataclass(frozen=True)
class Cursor:
    """The snapshot that a search walks, whom it wants, and the last one it has told: it stays good while that is kept.

    It holds no secret and gives no right: whoever writes one can ask for nothing that the search does not answer.
    """

    as_of: datetime
    model_version: str
    wanted: SearchQuery
    last: PageToken


KIND = TypeAdapter(Cursor)


def encode_cursor(cursor: Cursor) -> str:
    """Write a cursor: JSON and its checksum, in base64 as URLs bear it."""
    told = KIND.dump_json(cursor)
    return urlsafe_b64encode(_sum(told) + told).decode().rstrip("=")


def decode_cursor(text: str) -> Cursor:
    """Read a cursor.

    Raises
    ------
    CursorError : the text is no cursor, or one that was cut off or altered

    """
    try:
        found = b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        if found[:SUM_BYTES] != _sum(found[SUM_BYTES:]):
            raise ValueError("its checksum differs")
        cursor = KIND.validate_json(found[SUM_BYTES:], strict=True)
        numbers = [cursor.last.score, *asdict(cursor.wanted).values()]
        if not all(isfinite(number) for number in numbers if isinstance(number, float)):
            raise ValueError("it holds a number that is none")
        return Cursor(parse_utc(cursor.as_of), cursor.model_version, cursor.wanted, cursor.last)
    except ValueError as error:
        raise CursorError(
            "the cursor is damaged: expected the next_cursor of an earlier page, whole and unchanged. Begin again "
            "without one."
        ) from error


def _sum(told: bytes) -> bytes:
    return crc32(told).to_bytes(SUM_BYTES, "big")
