"""What a snapshot is on disk: an immutable folder, named by instant and model, renamed into place.

Sums: a snapshot's files are held against what they were when it was written, as `sha256sum -c SHA256SUMS` does.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from hashlib import file_digest
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.atomic_files import publish, scratch_dir
from features.errors import AsOfError, OutputError, RegistryError, SnapshotError
from features.feature_table import KEYS
from features.utc import parse_utc, to_iso_utc
from serving.snapshots.feature_rows import FeatureRowFile, map_rows
from serving.snapshots.peers import PeerMedians
from training.model.bundle_files import read_bundle

SCORES_FILE = "scores.parquet"
FEATURES_FILE = "features.arrow"
TYPICAL_FILE = "typical.parquet"
FACTS_FILE = "snapshot.json"
BUNDLE_FOLDER = "bundle"
# Of a snapshot that is in a database too: as which publication (`shared`).
PUBLISHED_FILE = "published.json"
REPEATING = ["scope", "evidence", "model_version"]
ROWS_PER_GROUP = 8192
NAME = re.compile(r"(?P<as_of>[^_.][^_]*Z)_v(?P<version>[A-Za-z0-9.-]+)")


def folder_name(as_of: datetime, version: str) -> str:
    """Name a snapshot, such as `2017-07-30T000000Z_v3`.

    Raises
    ------
    ValueError : the version holds anything but letters, digits, dots and dashes

    """
    name = f"{to_iso_utc(as_of).replace(':', '')}_v{version}"
    if not NAME.fullmatch(name):
        raise ValueError(f"the model version {version!r} cannot name a folder; expected letters, digits, dots, dashes.")
    return name


def parse_folder_name(folder: Path) -> tuple[datetime, str] | None:
    """Read the instant and the model version from a folder's name; None where it names no snapshot.

    It does not look whether the folder is there: one may be cleared away between two looks.
    """
    found = NAME.fullmatch(folder.name)
    if found is None:
        return None
    try:
        return parse_utc(found["as_of"]), found["version"]
    except AsOfError:
        return None


def folder_identity(folder: Path) -> tuple[int, int, int] | None:
    """Tell one folder from another that takes its name; None where there is none."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def age_order(folder: Path) -> tuple:
    """Order snapshots by instant, then by model version, where v10 comes after v9."""
    found = parse_folder_name(folder)
    if found is None:
        raise ValueError(f"{folder} is not named like a snapshot, such as 2017-07-30T000000Z_v3.")
    as_of, version = found
    return as_of, int(version) if version.isdecimal() else -1, version


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Yield a place beside a file or folder, and put what was written there in the target's place at the end.

    Nobody ever sees half of it; when the work fails, what stood at the target stays.

    Raises
    ------
    OutputError : the disk refuses

    """
    try:
        with scratch_dir(target) as scratch:
            yield scratch / target.name
            publish(scratch / target.name, target, scratch)
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error}.") from error


def write_table(frame: pd.DataFrame, file: Path) -> None:
    """Write a frame as Parquet, in small row groups and without anything that changes from run to run."""
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    pq.write_table(table, file, row_group_size=ROWS_PER_GROUP, compression="zstd")


@contextmanager
def read_errors_as_damage(file: Path) -> Iterator[None]:
    """Turn whatever reading a snapshot's file runs into, into a SnapshotError that names the file."""
    try:
        yield
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError, AsOfError) as error:
        raise damaged(file, error) from error


def damaged(place: Path, error: Exception) -> SnapshotError:
    """Say which file or folder of a snapshot cannot be read, and why."""
    why = next(iter(str(error).splitlines()), type(error).__name__)
    return SnapshotError(f"the snapshot is damaged: {place} cannot be read ({why}). Make it anew with 'clout score'.")


def read_facts(folder: Path) -> dict:
    """Read snapshot.json."""
    with read_errors_as_damage(folder / FACTS_FILE):
        return json.loads((folder / FACTS_FILE).read_text())


def read_scores(folder: Path) -> pa.Table:
    """Read the scores, with repeating texts as dictionaries and ids in one chunk each."""
    with read_errors_as_damage(folder / SCORES_FILE):
        # By one thread: several take more time of the processor than they save on the clock.
        with pq.ParquetFile(folder / SCORES_FILE, read_dictionary=REPEATING) as opened:
            table = opened.read(use_threads=False)
        user = table.column("user").cast(pa.large_string())
        return table.set_column(table.column_names.index("user"), "user", user).combine_chunks()


def check_sums(folder: Path) -> None:
    """See that every file is, byte for byte, as it was written."""
    with read_errors_as_damage(folder):
        other = first_mismatch(folder)
    if other is not None:
        raise damaged(other, ValueError("its bytes are not those that were written"))


def check_bundle(folder: Path) -> None:
    """See that the model's files are whole, whatever catalogue they are of."""
    try:
        read_bundle(folder / BUNDLE_FOLDER)
    except RegistryError as error:
        raise damaged(folder / BUNDLE_FOLDER, error) from error


def map_features(folder: Path) -> FeatureRowFile:
    """Map the features into memory without reading them."""
    with read_errors_as_damage(folder / FEATURES_FILE):
        return map_rows(folder / FEATURES_FILE)


def read_typical(folder: Path) -> PeerMedians:
    """Read what is typical among peers."""
    with read_errors_as_damage(folder / TYPICAL_FILE):
        return PeerMedians(pq.read_table(folder / TYPICAL_FILE, partitioning=None).to_pandas())


SUMS_FILE = "SHA256SUMS"


def write_checksums(folder: Path) -> None:
    """Write the SHA-256 of every file of a folder beside them, in the form of sha256sum(1)."""
    files = sorted(file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    told = "".join(f"{_sum(folder / file)}  {file.as_posix()}\n" for file in files if file.name != SUMS_FILE)
    (folder / SUMS_FILE).write_text(told)


def first_mismatch(folder: Path) -> Path | None:
    """Return the first file that is not as it was when the folder was sealed, None where all are.

    A folder that was never sealed, as older versions of Clout wrote them, has nothing to be held against.

    Raises
    ------
    OSError : a file cannot be read
    ValueError : the sums themselves are none

    """
    if not (folder / SUMS_FILE).exists():
        return None
    for line in (folder / SUMS_FILE).read_text().splitlines() or [""]:
        told, _, name = line.partition("  ")
        if len(told) != 64 or not name:
            raise ValueError(f"{line[:80]!r} is no line of sums")
        if not (folder / name).is_file() or _sum(folder / name) != told:
            return folder / name
    return None


def _sum(file: Path) -> str:
    with file.open("rb") as opened:
        return file_digest(opened, "sha256").hexdigest()


def sort_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Order a frame by user and scope, code point by code point, and number its rows from 0."""
    return frame.sort_values(KEYS, ignore_index=True)
