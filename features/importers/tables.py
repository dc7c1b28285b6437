"""Tables: CSV, JSON Lines or Parquet from anywhere, column by column and verb by verb."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import ibis
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from features.atomic_files import check_events_path, scratch_dir
from features.errors import EventsError
from features.events.event_table import REQUIRED, SCHEMA, VERBS, connect
from features.importers.ingestion import ImportReport, ingest
from features.importers.readers.json_lines import open_jsonlines
from features.importers.readers.tabular import TableReader, open_delimited, open_parquet
from features.importers.readers.values import READERS

OPENERS: dict[str, Callable[[Backend, Path, Path], TableReader]] = {
    ".csv": open_delimited,
    ".tsv": open_delimited,
    ".jsonl": open_jsonlines,
    ".ndjson": open_jsonlines,
    ".json": open_jsonlines,
    ".parquet": open_parquet,
}


def import_table(path: Path, out: Path, mapping: Mapping[str, str], verbs: Mapping[str, str]) -> ImportReport:
    """Import a file, or a folder of files of one kind, as events.

    Parameters
    ----------
    path : `.csv`, `.tsv`, `.jsonl`, `.ndjson` or `.json`, each also with `.gz`, or `.parquet`
    out : where the events go, as in `ingest`
    mapping : for a field of the event table the column that holds it; other fields are looked up by their own name
    verbs : for a verb as found the verb that is meant

    Raises
    ------
    EventsError : the file cannot be read, a column is missing, or a name in `mapping` or `verbs` is unknown

    """
    _check("--map", "field of the event table", mapping, tuple(SCHEMA))
    _check("--verb", "verb", verbs.values(), VERBS)
    files = _files(Path(path))
    backend = connect()
    check_events_path(Path(out))
    with scratch_dir(Path(out)) as scratch:
        tables = [_read(backend, file, mapping, scratch / f"file{number}.parquet") for number, file in enumerate(files)]
        rows = ibis.union(*tables) if len(tables) > 1 else tables[0]
        return ingest(rows.mutate(verb=rows.verb.substitute(dict(verbs))) if verbs else rows, Path(out))


def _check(option: str, kind: str, names: Iterable[str], allowed: tuple[str, ...]) -> None:
    for name in names:
        if name not in allowed:
            raise EventsError(
                f"{option}: {name!r} is no {kind}{_perhaps(name, allowed)}. It is one of {_all(allowed)}."
            )


def _perhaps(name: str, allowed: Sequence[str]) -> str:
    near = get_close_matches(name, allowed, n=1)
    return f"; perhaps {near[0]!r} is meant" if near else ""


def _all(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "(none)"


def _files(path: Path) -> list[Path]:
    """List what is to be read: the file itself, or the files of a folder, which must be of one kind."""
    if not path.exists():
        raise EventsError(f"{path} is not there; expected a file or a folder of files.")
    if not path.is_dir():
        return [path]
    files = sorted(each for each in path.iterdir() if each.is_file() and not each.name.startswith((".", "_")))
    kinds = {_kind(file) for file in files}
    if len(kinds) != 1:
        found = _all([file.name for file in files[:8]])
        raise EventsError(f"{path} must hold files of one kind, {_all(list(OPENERS))}; found {found}.")
    return files


def _kind(file: Path) -> str:
    return Path(file.name.lower().removesuffix(".gz")).suffix


def _read(backend: Backend, file: Path, mapping: Mapping[str, str], scratch: Path) -> ir.Table:
    """Read a file's columns as fields of the event table, with `row`, `record` and `reason`."""
    kind = _kind(file)
    if kind not in OPENERS:
        raise EventsError(f"{file} is of an unknown kind; expected a name that ends in {_all(list(OPENERS))}.")
    opened = OPENERS[kind](backend, file, scratch)
    chosen = _chosen(file, opened.columns, mapping)
    rows = opened.select(chosen)
    return rows.select("row", "record", "reason", **{field: READERS[field](rows[field]) for field in chosen})


def _chosen(file: Path, columns: list[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """Choose a column for each field that has one."""
    for field, column in mapping.items():
        if column not in columns:
            guess = _perhaps(column, columns)
            raise EventsError(f"--map {field}={column}: {file} has no such column{guess}. It has {_all(columns)}.")
    own = {field: field for field in SCHEMA if field in columns}
    chosen = own | dict(mapping)
    missing = [field for field in REQUIRED if field not in chosen]
    if missing:
        raise EventsError(
            f"{file} lacks {_all(missing)}; it has the columns {_all(columns)}. Say which of them is meant, "
            f"for instance with --map {missing[0]}={columns[0] if columns else 'COLUMN'}."
        )
    return chosen
