"""The files of a Stack Exchange dump: which are there, in which form, and their rows."""

from collections.abc import Callable
from pathlib import Path

import ibis
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from features.errors import EventsError
from features.sources.advance import by_bytes
from features.sources.delimited import open_delimited
from features.sources.markup import copy_xml
from features.sources.quoting import parquet, record, view

NEEDED = {
    "Posts": ("Id", "PostTypeId", "ParentId", "OwnerUserId", "CreationDate"),
    "Comments": ("Id", "PostId", "UserId", "CreationDate"),
    "Votes": ("Id", "PostId", "VoteTypeId", "UserId", "CreationDate"),
}
OPTIONAL = {"Posts": ("Tags",), "Comments": (), "Votes": ()}
FORMS = (".xml", ".xml.gz", ".csv", ".csv.gz")


def dump_files(folder: Path) -> dict[str, Path]:
    """Find the tables of a dump, by name without regard to case, XML before CSV.

    Raises
    ------
    EventsError : there is no folder, or no Posts in it

    """
    if not folder.is_dir():
        raise EventsError(f"{folder} is no folder; expected the folder of a Stack Exchange dump, unpacked.")
    names = {file.name.lower(): file for file in sorted(folder.iterdir()) if file.is_file()}
    found = {
        table: next((names[table.lower() + form] for form in FORMS if table.lower() + form in names), None)
        for table in NEEDED
    }
    if found["Posts"] is None:
        held = ", ".join(sorted(file.name for file in folder.iterdir())[:8]) or "nothing"
        looked = ", ".join(f"Posts{form}" for form in FORMS)
        raise EventsError(f"no Posts in {folder}: looked for {looked}; found {held}. Unpack the dump (7z x) first.")
    return {table: file for table, file in found.items() if file is not None}


def read_dump(
    backend: Backend, files: dict[str, Path], scratch: Path, progress: Callable[[float], None]
) -> dict[str, ir.Table]:
    """Read the tables of a dump, absent ones as empty.

    Parameters
    ----------
    backend : where the tables live
    files : the file of each table, from `dump_files`
    scratch : folder to copy the wanted columns into
    progress : called with the share of the bytes that is read

    Returns
    -------
    for each table its columns as text (null where absent), `row`, `record` and `reason` as in `Opened`

    """
    advance = by_bytes(files.values(), progress)
    return {
        table: _read(backend, table, files[table], scratch / f"{table}.parquet", advance)
        if table in files
        else _empty(table)
        for table in NEEDED
    }


def _columns(table: str) -> tuple[str, ...]:
    return NEEDED[table] + OPTIONAL[table]


def _empty(table: str) -> ir.Table:
    kinds = dict.fromkeys((*_columns(table), "record", "reason"), "string")
    return ibis.memtable([], schema={"row": "int64", **kinds})


def _read(backend: Backend, table: str, file: Path, scratch: Path, advance: Callable[[int], None]) -> ir.Table:
    if ".xml" in file.name.lower():
        found = _xml(backend, table, file, scratch, advance)
    else:
        found = _csv(backend, table, file, scratch)
        advance(file.stat().st_size)
    return found.mutate(record=ibis.literal(f"{table} ") + found.record)


def _xml(backend: Backend, table: str, file: Path, scratch: Path, advance: Callable[[int], None]) -> ir.Table:
    names = _columns(table)
    copy_xml(file, names, scratch, advance)
    original = record({name: name for name in names})
    return view(
        backend, scratch.stem, f"SELECT *, {original} AS record, NULL::VARCHAR AS reason FROM {parquet(scratch)}"
    )


def _csv(backend: Backend, table: str, file: Path, scratch: Path) -> ir.Table:
    opened = open_delimited(backend, file, scratch)
    missing = [name for name in NEEDED[table] if name not in opened.columns]
    if missing:
        raise EventsError(f"{file} lacks {', '.join(missing)}; found {', '.join(opened.columns)}.")
    rows = opened.select({name: name for name in _columns(table) if name in opened.columns})
    absent = {name: ibis.null("string") for name in OPTIONAL[table] if name not in opened.columns}
    return rows.mutate(**absent)
