"""The files of a snapshot on disk: an immutable folder, named by instant and model version, renamed into place.

SHA256SUMS holds the checksums of its files, as `sha256sum -c SHA256SUMS` reads them.
"""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import file_digest
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.atomic_files import publish, scratch_dir
from features.errors import AsOfError, RegistryError, SnapshotError, first_line, write_error
from features.feature_table import KEYS
from features.utc import parse_utc, to_iso_utc
from training.model.bundle_files import FACTS_FILE as BUNDLE_FACTS_FILE

SCORES_FILE = "scores.parquet"
FEATURES_FILE = "features.arrow"
BASELINES_FILE = "baselines.json"
FACTS_FILE = "snapshot.json"
BUNDLE_FOLDER = "bundle"
SUMS_FILE = "SHA256SUMS"
# Only if the snapshot is in a database too: the digest under which it is published there (`shared_database`).
PUBLISHED_FILE = "published.json"
REPEATING = ["scope", "evidence", "model_version"]
ROWS_PER_GROUP = 8192
BATCHES_AT_ONCE = 16
NAME = re.compile(r"(?P<as_of>[^_.][^_]*Z)_v(?P<version>[A-Za-z0-9.-]+)")


@dataclass(frozen=True)
class SnapshotFacts:
    """The contents of snapshot.json.

    Parameters
    ----------
    as_of : the instant, ISO 8601 in UTC
    model_version, horizon_days, catalogue : of the model that made the scores; the catalogue's fingerprint
    users, rows : how many different users and rows it holds
    level : the share of users whose audience the intervals contain
    cleared : the last change of the opt-outs that was applied when it was written; 0 in folders that do not say
    released : whether the model was the champion, or had been; True in folders that do not say
    forced : whether it was published by --force although its instant lay in the future

    """

    as_of: str
    model_version: str
    horizon_days: int
    users: int
    rows: int
    catalogue: str
    level: float
    cleared: int = 0
    released: bool = True
    forced: bool = False


def folder_name(as_of: datetime, version: str) -> str:
    """Return the name of a snapshot's folder, such as `2017-07-30T000000Z_v3`.

    Raises
    ------
    ValueError : the version holds anything but letters, digits, dots and dashes

    """
    name = f"{to_iso_utc(as_of).replace(':', '')}_v{version}"
    if not NAME.fullmatch(name):
        raise ValueError(f"the model version {version!r} cannot name a folder; expected letters, digits, dots, dashes.")
    return name


def parse_folder_name(folder: Path) -> tuple[datetime, str] | None:
    """Return the instant and the model version in a folder's name; None if it does not name a snapshot.

    The folder need not exist: another process may remove it at any time.
    """
    match = NAME.fullmatch(folder.name)
    if match is None:
        return None
    try:
        return parse_utc(match["as_of"]), match["version"]
    except AsOfError:
        return None


def folder_identity(folder: Path) -> tuple[int, int, int] | None:
    """Return what distinguishes a folder from a later one of the same name; None if there is none."""
    try:
        stat = folder.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino, stat.st_mtime_ns


def age_order(folder: Path) -> tuple[datetime, int, str]:
    """Return the sort key of a snapshot: instant, then model version as a number, so that v10 follows v9."""
    parsed = parse_folder_name(folder)
    if parsed is None:
        raise SnapshotError(f"{folder} is not named like a snapshot, such as 2017-07-30T000000Z_v3.")
    as_of, version = parsed
    return as_of, int(version) if version.isdecimal() else -1, version


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Yield a scratch path for a file or folder, and move it to the target at the end.

    Readers never see a partial file; if the work fails, the target stays as it was.

    Raises
    ------
    OutputError : the disk refuses

    """
    with output_errors(target), scratch_dir(target) as scratch:
        yield scratch / target.name
        publish(scratch / target.name, target, scratch)


@contextmanager
def output_errors(target: Path) -> Iterator[None]:
    """Convert an error of the disk into an OutputError that names what was written."""
    try:
        yield
    except ConnectionError:  # of an engine
        raise
    except OSError as error:
        raise write_error(target, error) from error


def write_table(frame: pd.DataFrame, file: Path) -> None:
    """Write a frame as Parquet in small row groups, without metadata that differs between runs."""
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    pq.write_table(table, file, row_group_size=ROWS_PER_GROUP, compression="zstd")


def write_batches(batches: Iterable[pa.RecordBatch], schema: pa.Schema, file: Path) -> None:
    """Write batches of rows as Parquet in small row groups: the same bytes as `write_table` of all rows at once."""
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for table in rebatch(batches, schema, ROWS_PER_GROUP):
            writer.write_table(table, row_group_size=ROWS_PER_GROUP)


def rebatch(batches: Iterable[pa.RecordBatch], schema: pa.Schema, size: int) -> Iterator[pa.Table]:
    """Combine batches into tables of one chunk each, whose lengths, but the last, are multiples of `size` rows."""
    rest = schema.empty_table()
    for batch in batches:
        rest = pa.concat_tables([rest, pa.Table.from_batches([batch])])
        if len(rest) >= size * BATCHES_AT_ONCE:
            full = len(rest) // size * size
            yield rest.slice(0, full).combine_chunks()
            rest = rest.slice(full)
    if len(rest):
        yield rest.combine_chunks()


@contextmanager
def read_errors_as_damage(file: Path) -> Iterator[None]:
    """Convert any error of reading a snapshot's file into a SnapshotError that names the file."""
    try:
        yield
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError, AsOfError, RegistryError) as error:
        raise damaged(file, error) from error


def lacking(feature: str) -> SnapshotError:
    """Return the error of a snapshot that lacks a feature, which it was made before."""
    return SnapshotError(
        f"the snapshot lacks the feature {feature}: it was made by an older version. Make it anew with 'clout score "
        "EVENTS'."
    )


def damaged(path: Path, error: Exception) -> SnapshotError:
    """Return the error of a snapshot whose file or folder cannot be read, with the cause."""
    return SnapshotError(
        f"the snapshot is damaged: {path} cannot be read ({first_line(error)}). Make it anew with 'clout score'."
    )


def read_facts(folder: Path) -> SnapshotFacts:
    """Read snapshot.json; fields that this version does not know are ignored.

    Raises
    ------
    SnapshotError : it is absent, not JSON, or lacks a field

    """
    with read_errors_as_damage(folder / FACTS_FILE):
        facts = json.loads((folder / FACTS_FILE).read_text())
        return SnapshotFacts(
            as_of=to_iso_utc(parse_utc(facts["as_of"])),
            model_version=facts["model_version"],
            horizon_days=int(facts["horizon_days"]),
            users=facts["users"],
            rows=facts["rows"],
            catalogue=facts["catalogue"],
            level=float(facts["level"] if "level" in facts else _level_of_model(folder)),
            cleared=int(facts.get("cleared", 0)),
            released=bool(facts.get("released", True)),
            forced=bool(facts.get("forced", False)),
        )


def _level_of_model(folder: Path) -> float:
    """Return the level of an earlier version's snapshot, whose facts lack it."""
    bundle = json.loads((folder / BUNDLE_FOLDER / BUNDLE_FACTS_FILE).read_text())
    return float(bundle["intervals"]["level"])


def write_facts(facts: SnapshotFacts, folder: Path) -> None:
    """Write snapshot.json."""
    (folder / FACTS_FILE).write_text(json.dumps(asdict(facts), indent=1) + "\n")


def read_scores(folder: Path) -> pa.Table:
    """Read the scores, with repeating texts as dictionaries and each column in one chunk."""
    # One thread: more threads use more processor time than they save in wall time.
    with pq.ParquetFile(folder / SCORES_FILE, read_dictionary=REPEATING) as file:
        table = file.read(use_threads=False)
    user = table.column("user").cast(pa.large_string())
    return table.set_column(table.column_names.index("user"), "user", user).combine_chunks()


def read_users(folder: Path) -> pa.Array:
    """Read the user of every row of the scores, in their order.

    Raises
    ------
    SnapshotError : the file is damaged

    """
    with read_errors_as_damage(folder / SCORES_FILE), pq.ParquetFile(folder / SCORES_FILE, pre_buffer=False) as file:
        return file.read(["user"], use_threads=False).column(0).cast(pa.large_string()).combine_chunks()


def check_checksums(folder: Path) -> None:
    """Check that every file holds the bytes that were written.

    A folder without checksums, as older versions of Clout wrote them, has nothing to compare with.

    Raises
    ------
    SnapshotError : a file differs, is absent or cannot be read, or SHA256SUMS holds a line that is not a checksum

    """
    with read_errors_as_damage(folder):
        other = _first_mismatch(folder)
    if other is not None:
        raise damaged(other, ValueError("its bytes are not those that were written"))


def write_checksums(folder: Path) -> None:
    """Write the SHA-256 of every file of a folder to SHA256SUMS, in the format of sha256sum(1)."""
    files = sorted(file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    lines = [f"{_sha256(folder / file)}  {file.as_posix()}\n" for file in files if file.name != SUMS_FILE]
    (folder / SUMS_FILE).write_text("".join(lines))


def _first_mismatch(folder: Path) -> Path | None:
    """Return the first file that differs from its checksum, None if all agree."""
    if not (folder / SUMS_FILE).exists():
        return None
    for line in (folder / SUMS_FILE).read_text().splitlines() or [""]:
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name:
            raise ValueError(f"{line[:80]!r} is not a line of checksums")
        if not (folder / name).is_file() or _sha256(folder / name) != digest:
            return folder / name
    return None


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def sort_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Order a frame by user and scope, code point by code point, and number its rows from 0."""
    return frame.sort_values(KEYS, ignore_index=True)
