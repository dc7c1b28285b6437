r"""JSON Lines: one object per line, plain or compressed; other lines become rows with a reason.

A line that DuckDB does not parse is mended where other parsers read it: half a surrogate pair, as in "cut \ud83d",
becomes its digits, and a control character, such as NUL, a space. Objects that follow each other without line ends are
split. The record of any other line is its length, because a line may hold the texts of users.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path

import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from features.errors import EventsError
from features.events.engines import create_view, json_object_sql, read_parquet_sql, sql_identifier, sql_literal
from features.importers.readers.files import open_decompressed
from features.importers.readers.tabular import (
    LENGTH,
    MALFORMED_LINE,
    TableReader,
    digest_sql,
    looks_like_csv,
    rows_of,
    scan,
    with_malformed,
)

Pointers = str | tuple[str, ...]

OPTIONS = {"header": "false", "delim": "'\\x01'", "quote": "''", "escape": "''", "force_not_null": "['line']"}
SPACE = "' \t\r'"
HALF_PAIR = r"(\\[^u]|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u([dD][89a-fA-F][0-9a-fA-F]{2})"
CONTROL = r"[\x00-\x1f]"
SEAM = r'\}[\s\x00]*\{\s*"'
MAX_DOCUMENT_BYTES = 100_000_000


def open_jsonlines(backend: Backend, file: Path, scratch: Path) -> TableReader:
    """Open a file of JSON objects, plain, .gz or .zst; all members are read as text, numbers as written.

    Raises
    ------
    EventsError : the file is truncated, is not UTF-8, or is a JSON array

    """
    rejects = _scan(backend, file, scratch, lambda lines: lines)
    lines = _objects(rows_of(scratch))
    keys = backend.con.execute(f"SELECT DISTINCT unnest(json_keys(object)) AS name FROM ({lines}) ORDER BY name")
    names = [name for (name,) in keys.fetchall()]
    totals = f"SELECT count(object), count(CASE WHEN trim(line, {SPACE}) <> '' THEN 1 END) FROM ({lines})"
    if not names and (counts := backend.con.execute(totals).fetchone()) and not counts[0]:
        raise EventsError(_no_objects(file) if counts[1] else f"{file} is empty; expected one JSON object per line.")

    def pointer(name: str) -> str:
        if name in names:
            return _pointer(name)
        return name if name.startswith("/") else "".join(map(_pointer, name.split(".")))

    def has_member(name: str) -> bool:
        path = sql_literal(pointer(name))
        where = f"object IS NOT NULL AND json_exists(object, {path})"
        return backend.con.execute(f"SELECT 1 FROM ({lines}) WHERE {where} LIMIT 1").fetchone() is not None

    def sql(mapping: dict[str, str]) -> str:
        pointers = [pointer(name) for name in mapping.values()]
        record = json_object_sql({name: f"object -> {sql_literal(pointer(name))}" for name in mapping.values()})
        rows = f"SELECT *, {digest_sql(['object'])} FROM ({_members(lines, pointers)})"
        return _with_malformed(backend, _records(rows, mapping, record, ("digest",)), rejects)

    return TableReader(names, lambda mapping: create_view(backend, scratch.stem, sql(mapping)), has_member)


def _no_objects(file: Path) -> str:
    """Say why no line of a file is a JSON object."""
    if looks_like_csv(file):
        return f"no line of {file} is a JSON object, for it looks like CSV; let its name end in .csv or .csv.gz."
    try:
        with open_decompressed(file) as text:
            content = text.read(MAX_DOCUMENT_BYTES).decode("utf-8-sig").strip()
    except (OSError, ValueError):
        content = ""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        comma = ", for lines end with a comma; remove it" if content.endswith(",") or ",\n" in content else ""
        return f"no line of {file} is a JSON object{comma}. Expected one whole object per line."
    lists = [name for name, value in document.items() if isinstance(value, list)] if isinstance(document, dict) else []
    member = f".{lists[0]}[]" if lists else "."
    return (
        f"{file} is one JSON document over many lines; expected one object per line. Convert it with jq -c '{member}'."
    )


def read_members(
    backend: Backend, file: Path, scratch: Path, members: Mapping[str, Pointers], private: Collection[str] = ()
) -> ir.Table:
    """Read some members of a file of JSON objects, plain, .gz or .zst, at any depth, in one pass over the file.

    Parameters
    ----------
    backend, file : the engine that reads, and the file
    scratch : the Parquet file to copy the members into; its stem must be a valid SQL name, and new to the backend
    members : JSON pointer (RFC 6901) of each column, such as /payload/issue/user/login, or several, of which the first
        that is present counts
    private : columns that must not be in `record`, such as texts by users

    Returns
    -------
    the columns as text, numbers as written, objects and arrays as JSON, null if absent; `row`, the number of the line,
    or of the object where objects share a line; `record`, the columns that are present as JSON, or the length of a line
    that is not an object; and `reason`, null, or what is wrong with the line

    Raises
    ------
    EventsError : the file is truncated, is not UTF-8, or is a JSON array

    """
    columns = {name: f"c{number}" for number, name in enumerate(members, 1)}

    def shape(lines: str) -> str:
        rows = _members(_objects(lines), members.values())
        return f"SELECT {', '.join(columns.values())}, CASE WHEN object IS NULL THEN line END AS line FROM ({rows})"

    rejects = _scan(backend, file, scratch, shape)
    lines = scratch.with_suffix(".jsonl")
    if _has_seams(backend, scratch, rejects) and _split_objects(file, lines):
        backend.con.execute(f"DROP TABLE {rejects}; DROP TABLE {rejects}_scan")
        rejects = _scan(backend, lines, scratch, shape)
        lines.unlink()
    record = json_object_sql({name: column for name, column in columns.items() if name not in private})
    rows = f"SELECT *, CASE WHEN line IS NULL THEN '' END AS object FROM ({rows_of(scratch)})"
    good = _records(rows, members, f"json_merge_patch('{{}}', {record})::VARCHAR")
    return create_view(backend, scratch.stem, _with_malformed(backend, good, rejects))


def _scan(backend: Backend, file: Path, scratch: Path, shape: Callable[[str], str]) -> str:
    """Copy the lines in a shape that includes `line`; return the name of the table of malformed lines."""
    rejects = scan(backend, file, {"line": "line"}, scratch, shape, **OPTIONS)
    written = f"SELECT trim(line, {SPACE}) AS text FROM {read_parquet_sql(scratch)}"
    first = backend.con.execute(f"SELECT text FROM ({written}) WHERE text IS NULL OR text <> '' LIMIT 1").fetchone()
    if first and first[0] and first[0].startswith("["):
        raise EventsError(f"{file} is a JSON array; expected one object per line. Convert it with jq -c '.[]'.")
    return rejects


def _has_seams(backend: Backend, scratch: Path, rejects: str) -> bool:
    """Return whether a malformed line may hold several objects."""
    lines = f"SELECT line FROM {read_parquet_sql(scratch)} UNION ALL SELECT csv_line FROM {rejects}"
    seams = f"SELECT 1 FROM ({lines}) WHERE regexp_matches(line, {sql_literal(SEAM)}) LIMIT 1"
    return backend.con.execute(seams).fetchone() is not None


def _split_objects(file: Path, lines: Path) -> bool:
    """Write the lines of a file, each object on a line of its own; return whether the file could be read."""
    try:
        with open_decompressed(file) as text, lines.open("wb") as out:
            for line in text:
                out.writelines(part + b"\n" for part in _objects_of(line.rstrip()))
    except OSError:  # a window that only `ensure_readable` can read
        return False
    return True


def _objects_of(line: bytes) -> Iterator[bytes]:
    """Yield the objects of a line; an object that does not parse ends where the next may begin."""
    if not re.search(SEAM.encode(), line):
        yield line
        return
    text, decoder, start = line.decode(errors="replace"), json.JSONDecoder(strict=False), 0
    while start < len(text):
        try:
            end = decoder.raw_decode(text, start)[1]
        except (ValueError, RecursionError):
            seam = re.compile(SEAM).search(text, start)
            end = seam.start() + 1 if seam else len(text)
        yield text[start:end].encode()
        start = end
        while start < len(text) and (text[start].isspace() or text[start] == "\0"):
            start += 1


def _with_malformed(backend: Backend, good: str, rejects: str) -> str:
    """Return SQL that adds the malformed lines, if there are any, because adding them sorts all others."""
    any_malformed = backend.con.execute(f"SELECT 1 FROM {rejects} LIMIT 1").fetchone()
    return with_malformed(good, rejects, header=0) if any_malformed else good


def _objects(lines: str) -> str:
    """Return SQL of the lines with `object`, which is null for lines that are not objects."""
    spaced = f"regexp_replace(line, {sql_literal(CONTROL)}, ' ', 'g')"
    mended = f"regexp_replace({spaced}, {sql_literal(HALF_PAIR)}, '\\1\\2', 'g')"
    return f"""
        SELECT *, CASE WHEN starts_with(trim(line, {SPACE}), '{{') AND json_valid(line) THEN line
            WHEN starts_with(trim({spaced}), '{{') AND json_valid({mended}) THEN {mended} END AS object
        FROM ({lines})"""


def _members(objects: str, members: Collection[Pointers]) -> str:
    """Return SQL that adds members of the objects as c1, c2 ...; each object is parsed once."""
    choices = [(pointers,) if isinstance(pointers, str) else pointers for pointers in members]
    numbers = count(1)
    values = [", ".join(f"members[{next(numbers)}]" for _ in pointers) for pointers in choices]
    columns = ", ".join(f"coalesce({value}) AS c{number}" for number, value in enumerate(values, 1))
    paths = ", ".join(sql_literal(pointer) for pointers in choices for pointer in pointers)
    return f"SELECT *, {columns} FROM (SELECT *, json_extract_string(object, [{paths}]) AS members FROM ({objects}))"


def _records(members: str, fields: Collection[str], record: str, others: Sequence[str] = ()) -> str:
    """Return SQL of rows with fields from c1, c2 ..., other columns, `record` and `reason`, without blank lines."""
    named = [f"c{number} AS {sql_identifier(field)}" for number, field in enumerate(fields, 1)]
    columns = ", ".join((*named, *others))
    return f"""
        SELECT row, {columns}, CASE WHEN object IS NULL THEN {LENGTH.format("line")} ELSE {record} END AS record,
            CASE WHEN object IS NULL THEN '{MALFORMED_LINE}not a JSON object' END AS reason
        FROM ({members}) WHERE object IS NOT NULL OR trim(line, {SPACE}) <> ''"""


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")
