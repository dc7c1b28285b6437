"""Shared snapshots: published whole into a PostgreSQL, from where each replica fetches them (`mirror`).

Parts: a snapshot's files as they travel between a home and a database, and the hash by which they are known.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    Connection,
    DateTime,
    ForeignKey,
    Identity,
    Integer,
    LargeBinary,
    Table,
    Text,
    delete,
    event,
    func,
    insert,
    select,
    text,
)

from features.errors import SnapshotError
from serving.snapshots import layout
from training.home import Home
from training.records.database import TABLES, Records, RecordsError

KEPT = 13

SNAPSHOTS = Table(
    "snapshots",
    TABLES,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("as_of", DateTime(timezone=True), nullable=False),
    Column("model_version", Text, nullable=False),
    Column("published", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
)
PARTS = Table(
    "snapshot_parts",
    TABLES,
    Column("snapshot", ForeignKey(SNAPSHOTS.c.id, ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("path", Text, nullable=False),
    Column("bytes", LargeBinary, nullable=False),
)
# What is compressed already is stored as it is.
as_it_is: Any = DDL("ALTER TABLE snapshot_parts ALTER COLUMN bytes SET STORAGE EXTERNAL").execute_if(
    dialect="postgresql"
)
event.listen(PARTS, "after_create", as_it_is)


@dataclass(frozen=True)
class PublishedFile:
    """A snapshot that the database holds.

    Parameters
    ----------
    id : of this publication; one published anew under its name has another
    name : of its folder
    bytes : of its files together
    sha256 : of its files, as `digest` gives it

    """

    id: int
    name: str
    bytes: int
    sha256: str


class SnapshotDatabase:
    """The snapshots in a database.

    Parameters
    ----------
    home : whose `database` names it

    Raises
    ------
    RecordsError : it is no PostgreSQL

    """

    def __init__(self, home: Home):
        self._records = Records(home)
        self.place = str(self._records.engine.url)
        if self._records.engine.dialect.name != "postgresql":
            raise RecordsError(f"snapshots are shared through PostgreSQL, not through {self.place}.")

    def listed(self) -> tuple[PublishedFile, ...]:
        """Return what there is, newest first.

        Raises
        ------
        RecordsError : the database cannot be reached

        """
        columns = (SNAPSHOTS.c.id, SNAPSHOTS.c.name, SNAPSHOTS.c.bytes, SNAPSHOTS.c.sha256)
        with self._records.writing() as connection:
            found = [PublishedFile(*row) for row in connection.execute(select(*columns))]
        known = [each for each in found if layout.parse_folder_name(Path(each.name))]
        return tuple(sorted(known, key=lambda each: layout.age_order(Path(each.name)), reverse=True))

    def publish(self, folder: Path) -> None:
        """Put a snapshot's folder into the database, in the place of one of its name, and mark the folder with it.

        All of it happens in one transaction: others see it whole or not at all. Beyond `KEPT` the oldest go with it.
        Publish a folder before it is renamed into place: a mirror of the same home would put the listed one there.

        Raises
        ------
        RecordsError : the database cannot be reached, or refuses; then it is as before

        """
        as_of, version = layout.parse_folder_name(folder) or _no_snapshot(folder)
        found = digest(folder)
        facts = {"as_of": as_of, "model_version": version, "bytes": found.bytes, "sha256": found.sha256}
        with self._records.writing() as connection:
            # Publishers wait for each other; who reads sees what was there before.
            connection.execute(text("LOCK TABLE snapshots IN SHARE ROW EXCLUSIVE MODE"))
            connection.execute(delete(SNAPSHOTS).where(SNAPSHOTS.c.name == folder.name))
            made = connection.execute(
                insert(SNAPSHOTS).values(name=folder.name, **facts).returning(SNAPSHOTS.c.id)
            ).scalar_one()
            for number, (path, held) in enumerate(parts(folder)):
                part = {"snapshot": made, "number": number, "path": path, "bytes": held}
                connection.execute(insert(PARTS).values(**part))
            _drop_older(connection)
        mark(folder, found.sha256)

    @contextmanager
    def parts(self, listed: PublishedFile) -> Iterator[Iterator[tuple[str, bytes]]]:
        """Open the parts of a snapshot, path and bytes, in order, of which one at a time is in memory.

        Raises
        ------
        RecordsError : the database cannot be reached, or goes away

        """
        chosen = select(PARTS.c.path, PARTS.c.bytes).where(PARTS.c.snapshot == listed.id).order_by(PARTS.c.number)
        with self._records.writing() as connection, connection.execution_options(yield_per=1).execute(chosen) as found:
            yield ((path, held) for path, held in found)


def publish_anew(home: Home, folder: Path, made: Path) -> None:
    """Publish what is about to take the place of a snapshot, where that is a published one.

    Parameters
    ----------
    home : of the snapshot
    folder : as it is now; one that was never published stays so
    made : what takes its place, in a folder of the same name

    Raises
    ------
    RecordsError : the database cannot be reached, or refuses; then keep the folder as it is

    """
    if home.database and marked(folder) is not None:
        SnapshotDatabase(home).publish(made)


def _drop_older(connection: Connection) -> None:
    names = connection.execute(select(SNAPSHOTS.c.name)).scalars().all()
    kept = sorted(names, key=lambda name: layout.age_order(Path(name)), reverse=True)[:KEPT]
    connection.execute(delete(SNAPSHOTS).where(SNAPSHOTS.c.name.not_in(kept)))


def _no_snapshot(folder: Path) -> Any:
    raise SnapshotError(f"{folder} is not named like a snapshot, such as 2017-07-30T000000Z_v3.")


PART_BYTES = 4 << 20


def parts(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Read the files of a snapshot in the order of their paths, a part at a time; an empty file has an empty one."""
    for file in sorted(each for each in folder.rglob("*") if each.is_file()):
        path = file.relative_to(folder).as_posix()
        if path == layout.PUBLISHED_FILE:
            continue
        with file.open("rb") as held:
            yield path, held.read(PART_BYTES)
            while more := held.read(PART_BYTES):
                yield path, more


class Digest:
    """How many bytes the parts added so far hold, and the SHA-256 of them, each after its path and length."""

    def __init__(self) -> None:
        self.bytes, self._told = 0, sha256()

    def add(self, path: str, held: bytes) -> None:
        """Add the next part."""
        self.bytes += len(held)
        self._told.update(f"{path}\0{len(held)}\0".encode())
        self._told.update(held)

    @property
    def sha256(self) -> str:
        """Of all that was added, hexadecimal."""
        return self._told.hexdigest()


def digest(folder: Path) -> Digest:
    """Read a snapshot's files through."""
    found = Digest()
    for path, held in parts(folder):
        found.add(path, held)
    return found


def mark(folder: Path, told: str) -> None:
    """Note in a folder as which publication it is known."""
    (folder / layout.PUBLISHED_FILE).write_text(json.dumps({"sha256": told}) + "\n")


def marked(folder: Path) -> str | None:
    """Return the SHA-256 of the publication that a folder is; None where it is none."""
    try:
        return json.loads((folder / layout.PUBLISHED_FILE).read_text())["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
