"""JSON Lines: one object a line, plain or packed; lines that are none are kept with the reason.

Parts: files of JSON Lines, as many as there are, read one after the other into what is wanted of them.
"""

from collections.abc import Callable, Collection
from glob import escape
from pathlib import Path

import ibis
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from features.errors import EventsError
from features.events.engines import create_view, json_object_sql, read_parquet_sql, sql_identifier, sql_literal
from features.importers.readers.files import by_bytes
from features.importers.readers.tabular import TableReader
from features.importers.readers.text_scan import KEPT, rows_of, scan, with_malformed

OPTIONS = {"header": "false", "delim": "'\\x01'", "quote": "''", "escape": "''", "force_not_null": "['line']"}
SPACE = "' \t\r'"


def open_jsonlines(backend: Backend, file: Path, scratch: Path) -> TableReader:
    """Open a file of JSON objects; every member is read as text, numbers as they are written.

    Parameters
    ----------
    backend : the engine that reads
    file : plain, gzipped where its name ends in .gz, or packed with Zstandard where it ends in .zst
    scratch : the Parquet file to copy the lines into

    Raises
    ------
    EventsError : the file is truncated, is not UTF-8, or is one JSON array

    """
    rejects = _scan(backend, file, scratch, lambda lines: lines)
    lines = _objects(rows_of(scratch))
    names = backend.con.execute(f"SELECT DISTINCT unnest(json_keys(object)) AS name FROM ({lines}) ORDER BY name")

    def sql(chosen: dict[str, str]) -> str:
        pointers = [_pointer(name) for name in chosen.values()]
        original = json_object_sql({name: f"object -> {sql_literal(_pointer(name))}" for name in chosen.values()})
        return _whole(backend, _records(_members(lines, pointers), chosen, original), rejects)

    return TableReader(
        [name for (name,) in names.fetchall()], lambda chosen: create_view(backend, scratch.stem, sql(chosen))
    )


def read_members(
    backend: Backend, file: Path, scratch: Path, members: dict[str, str], private: Collection[str] = ()
) -> ir.Table:
    """Read some members of a file of JSON objects, however deep they lie, in one pass over the file.

    Parameters
    ----------
    backend : the engine that reads
    file : plain, gzipped where its name ends in .gz, or packed with Zstandard where it ends in .zst
    scratch : the Parquet file to copy the members into; its stem must be a name in SQL, and new to the backend
    members : for each column its JSON pointer (RFC 6901), such as /payload/issue/user/login
    private : columns that must not stand in `json_object_sql`, such as what people wrote

    Returns
    -------
    the columns as text, numbers as they are written, objects and arrays as JSON, null where there is none; `row`, the
    number of the line; `record`, the columns that are there as JSON, or the beginning of a line that is no object; and
    `reason`, null, or what is wrong with the line

    Raises
    ------
    EventsError : the file is truncated, is not UTF-8, or is one JSON array

    """
    columns = {name: f"c{place}" for place, name in enumerate(members, 1)}

    def shape(lines: str) -> str:
        damaged = f"CASE WHEN object IS NULL THEN left(line, {KEPT}) END AS line"
        found = _members(_objects(lines), members.values())
        return f"SELECT {', '.join(columns.values())}, {damaged} FROM ({found})"

    rejects = _scan(backend, file, scratch, shape)
    original = json_object_sql({name: column for name, column in columns.items() if name not in private})
    rows = f"SELECT *, CASE WHEN line IS NULL THEN '' END AS object FROM ({rows_of(scratch)})"
    good = _records(rows, members, f"json_merge_patch('{{}}', {original})::VARCHAR")
    return create_view(backend, scratch.stem, _whole(backend, good, rejects))


def _scan(backend: Backend, file: Path, scratch: Path, shape: Callable[[str], str]) -> str:
    """Copy what `shape` makes of the lines, among which `line` is; return the table of lines that cannot be read."""
    rejects = scan(backend, file, {"line": "line"}, scratch, shape, **OPTIONS)
    written = f"SELECT trim(line, {SPACE}) AS text FROM {read_parquet_sql(scratch)}"
    first = backend.con.execute(f"SELECT text FROM ({written}) WHERE text IS NULL OR text <> '' LIMIT 1").fetchone()
    if first and first[0] and first[0].startswith("["):
        raise EventsError(f"{file} is one JSON array; expected an object a line, as jq -c '.[]' makes of it.")
    return rejects


def _whole(backend: Backend, good: str, rejects: str) -> str:
    """Write the SQL that adds the lines that cannot be read, which sorts all others, if there are any."""
    some = backend.con.execute(f"SELECT count(*) FROM {rejects}").fetchone()
    return with_malformed(good, rejects, header=0) if some and some[0] else good


def _objects(lines: str) -> str:
    """Write the SQL of the lines with `object`, which is null where a line holds none."""
    return f"""
        SELECT *, CASE WHEN starts_with(trim(line, {SPACE}), '{{') AND json_valid(line) THEN line END AS object
        FROM ({lines})"""


def _members(objects: str, pointers: Collection[str]) -> str:
    """Write the SQL that adds members of the objects as c1, c2 ...; each object is parsed but once."""
    wanted = ", ".join(sql_literal(pointer) for pointer in pointers)
    columns = ", ".join(f"held[{place}] AS c{place}" for place in range(1, len(pointers) + 1))
    return f"SELECT *, {columns} FROM (SELECT *, json_extract_string(object, [{wanted}]) AS held FROM ({objects}))"


def _records(members: str, fields: Collection[str], original: str) -> str:
    """Write the SQL of what `TableReader` promises, of c1, c2 ...; blank lines are no records."""
    named = ", ".join(f"c{place} AS {sql_identifier(field)}" for place, field in enumerate(fields, 1))
    return f"""
        SELECT row, {named}, CASE WHEN object IS NULL THEN left(line, {KEPT}) ELSE {original} END AS record,
            CASE WHEN object IS NULL THEN 'malformed line: no JSON object' END AS reason
        FROM ({members}) WHERE object IS NOT NULL OR trim(line, {SPACE}) <> ''"""


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")


def read_parts(
    backend: Backend,
    files: list[Path],
    scratch: Path,
    members: dict[str, str],
    settle: Callable[[ir.Table], ir.Table],
    typical: Collection[str],
    meant: str,
    progress: Callable[[float], None],
) -> ir.Table:
    """Read members of the lines of all files, and settle those of a file before the next one is read.

    Parameters
    ----------
    backend : where the table lives
    files : plain, .gz or .zst
    scratch : folder to write the parts into
    members : as in `read_members`
    settle : makes of what `read_members` returns what is kept; what is large can be left out
    typical : members each of which is in some line of each file that is meant
    meant : what was expected, for the error
    progress : called with the share of the bytes that is read

    Returns
    -------
    the columns that `settle` makes, and `file`, the number of the file from 0

    Raises
    ------
    EventsError : a file cannot be read, or is something else

    """
    advance = by_bytes(files, progress)
    for number, file in enumerate(files):
        held = scratch / f"members{number}.parquet"
        found = read_members(backend, file, held, members)
        _refuse_other(file, found, typical, meant)
        part = settle(found).mutate(file=ibis.literal(number, "int64"))
        backend.to_parquet(part, scratch / f"part{number:06}.parquet")
        held.unlink()
        advance(file.stat().st_size)
    return backend.read_parquet(escape(str(scratch)) + "/part*.parquet")


def _refuse_other(file: Path, found: ir.Table, typical: Collection[str], meant: str) -> None:
    """Refuse a file whose objects have nothing of what is meant; lines that are no object are no sign of it."""
    whole = found.filter(found.reason.isnull())
    counts = whole.aggregate(lines=whole.count(), **{name: whole[name].count() for name in typical})
    held = counts.to_pyarrow().to_pylist()[0]
    lines = held.pop("lines")
    absent = [name for name, count in held.items() if not count]
    if lines and absent:
        raise EventsError(f"{file}: none of its {lines} lines has {' or '.join(absent)}; expected {meant}.")
