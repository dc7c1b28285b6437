"""Snapshots in a PostgreSQL database, from which replicas fetch them: publishing, listing, and their parts.

Parts are slices of a snapshot's files; the SHA-256 of all parts identifies a publication.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from serving.snapshots import layout
from training.home import Home
from training.records.database import TABLES, Records, RecordsError

MOST_SNAPSHOTS = 13

SNAPSHOTS = sa.Table(
    "snapshots",
    TABLES,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
    sa.Column("model_version", sa.Text, nullable=False),
    sa.Column("published", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
)
PARTS = sa.Table(
    "snapshot_parts",
    TABLES,
    sa.Column("snapshot", sa.ForeignKey(SNAPSHOTS.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("bytes", sa.LargeBinary, nullable=False),
)
PART_BYTES = 4 << 20


@sa.event.listens_for(PARTS, "after_create")
def _store_uncompressed(_: sa.Table, connection: sa.Connection, **_options: Any) -> None:
    """Turn compression off in PostgreSQL: the files are compressed already."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("ALTER TABLE snapshot_parts ALTER COLUMN bytes SET STORAGE EXTERNAL"))


@dataclass(frozen=True)
class PublishedSnapshot:
    """A snapshot in the database.

    Parameters
    ----------
    id : of this publication; publishing the same name again gives a new one
    name : of its folder
    bytes : total size of its files
    sha256 : of its files, as `digest` computes it

    """

    id: int
    name: str
    bytes: int
    sha256: str


class SnapshotDatabase:
    """The snapshots in the database of a home.

    Raises
    ------
    RecordsError : it is not a PostgreSQL database

    """

    def __init__(self, home: Home):
        self._records = Records(home)
        self.address = str(self._records.engine.url)
        if self._records.engine.dialect.name != "postgresql":
            raise RecordsError(f"snapshots are shared through PostgreSQL, not through {self.address}.")

    def published(self) -> tuple[PublishedSnapshot, ...]:
        """Return the snapshots in the database, newest first.

        Raises
        ------
        RecordsError : the database cannot be reached

        """
        columns = (SNAPSHOTS.c.id, SNAPSHOTS.c.name, SNAPSHOTS.c.bytes, SNAPSHOTS.c.sha256)
        with self._records.begin() as connection:
            snapshots = [PublishedSnapshot(*row) for row in connection.execute(sa.select(*columns))]
        valid = [snapshot for snapshot in snapshots if layout.parse_folder_name(Path(snapshot.name))]
        return tuple(sorted(valid, key=lambda snapshot: layout.age_order(Path(snapshot.name)), reverse=True))

    def publish(self, folder: Path) -> None:
        """Write a snapshot's folder to the database, replacing one of its name, and record the digest in the folder.

        One transaction: other processes see all of it or nothing. Beyond `MOST_SNAPSHOTS` the oldest are deleted.
        Publish a folder before renaming it into place: a replica on the same home would put the published one there.

        Raises
        ------
        RecordsError : the database cannot be reached, or refuses; then it is unchanged

        """
        as_of, _, version = layout.age_order(folder)
        total = digest(folder)
        facts = {"as_of": as_of, "model_version": version, "bytes": total.bytes, "sha256": total.sha256}
        with self._records.begin() as connection:
            # Publishers wait for each other; readers see the state before.
            connection.execute(sa.text("LOCK TABLE snapshots IN SHARE ROW EXCLUSIVE MODE"))
            connection.execute(sa.delete(SNAPSHOTS).where(SNAPSHOTS.c.name == folder.name))
            publication = connection.execute(
                sa.insert(SNAPSHOTS).values(name=folder.name, **facts).returning(SNAPSHOTS.c.id)
            ).scalar_one()
            for number, (path, data) in enumerate(parts(folder)):
                part = {"snapshot": publication, "number": number, "path": path, "bytes": data}
                connection.execute(sa.insert(PARTS).values(**part))
            _delete_oldest(connection)
        record_publication(folder, total.sha256)

    def remove(self, name: str) -> None:
        """Delete the snapshot of a name, if there is one.

        Raises
        ------
        RecordsError : the database cannot be reached

        """
        with self._records.begin() as connection:
            connection.execute(sa.delete(SNAPSHOTS).where(SNAPSHOTS.c.name == name))

    @contextmanager
    def parts(self, snapshot: PublishedSnapshot) -> Iterator[Iterator[tuple[str, bytes]]]:
        """Open the parts of a snapshot, path and bytes, in order; one part at a time is in memory.

        Raises
        ------
        RecordsError : the database cannot be reached, or the connection breaks

        """
        query = sa.select(PARTS.c.path, PARTS.c.bytes).where(PARTS.c.snapshot == snapshot.id).order_by(PARTS.c.number)
        with self._records.begin() as connection, connection.execution_options(yield_per=1).execute(query) as rows:
            yield ((path, data) for path, data in rows)


def republish(home: Home, folder: Path, replacement: Path) -> None:
    """Publish what will replace a snapshot's folder, in a folder of the same name, if that snapshot is published.

    Raises
    ------
    RecordsError : the database cannot be reached, or refuses; then keep the folder as it is

    """
    if home.database and published_digest(folder) is not None:
        SnapshotDatabase(home).publish(replacement)


def _delete_oldest(connection: sa.Connection) -> None:
    names = connection.execute(sa.select(SNAPSHOTS.c.name)).scalars().all()
    newest = sorted(names, key=lambda name: layout.age_order(Path(name)), reverse=True)[:MOST_SNAPSHOTS]
    connection.execute(sa.delete(SNAPSHOTS).where(SNAPSHOTS.c.name.not_in(newest)))


def parts(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the parts of a snapshot's files (path, bytes) in the order of their paths; an empty file has one part."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        path = file.relative_to(folder).as_posix()
        if path == layout.PUBLISHED_FILE:
            continue
        with file.open("rb") as stream:
            yield path, stream.read(PART_BYTES)
            while more := stream.read(PART_BYTES):
                yield path, more


class Digest:
    """The total size of some parts, and the SHA-256 over each part's path, length and bytes."""

    def __init__(self) -> None:
        self.bytes, self._hash = 0, sha256()

    def add(self, path: str, data: bytes) -> None:
        """Add the next part."""
        self.bytes += len(data)
        self._hash.update(f"{path}\0{len(data)}\0".encode())
        self._hash.update(data)

    @property
    def sha256(self) -> str:
        """The digest of all parts added so far, hexadecimal."""
        return self._hash.hexdigest()


def digest(folder: Path) -> Digest:
    """Return the digest of a snapshot's files."""
    total = Digest()
    for path, data in parts(folder):
        total.add(path, data)
    return total


def record_publication(folder: Path, digest: str) -> None:
    """Record in a folder the digest under which it is published."""
    (folder / layout.PUBLISHED_FILE).write_text(json.dumps({"sha256": digest}) + "\n")


def published_digest(folder: Path) -> str | None:
    """Return the digest under which a folder is published; None if it is not."""
    try:
        return str(json.loads((folder / layout.PUBLISHED_FILE).read_text())["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
