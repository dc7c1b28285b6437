"""JSON Lines: one object a line, plain or gzipped; lines that are none are kept with the reason."""

from pathlib import Path

from ibis.backends.duckdb import Backend

from features.errors import EventsError
from features.sources.opened import Opened
from features.sources.quoting import identifier, literal, parquet, record, view
from features.sources.scanning import KEPT, scan, with_malformed

OPTIONS = {"header": "false", "delim": "'\\x01'", "quote": "''", "escape": "''"}


def open_jsonlines(backend: Backend, file: Path, scratch: Path) -> Opened:
    """Open a file of JSON objects; every member is read as text, numbers as they are written.

    Parameters
    ----------
    backend : the engine that reads
    file : plain, or gzipped where its name ends in .gz
    scratch : the Parquet file to copy the lines into

    Raises
    ------
    EventsError : the file is truncated, is not UTF-8, or is one JSON array

    """
    rejects = scan(backend, file, {"line": "line"}, scratch, **OPTIONS)
    _refuse_array(backend, file, scratch)
    lines = _lines(scratch)
    names = backend.con.execute(f"SELECT DISTINCT unnest(json_keys(object)) AS name FROM ({lines}) ORDER BY name")
    return Opened(
        [name for (name,) in names.fetchall()],
        lambda chosen: view(backend, scratch.stem, with_malformed(_members(lines, chosen), rejects, header=0)),
    )


def _refuse_array(backend: Backend, file: Path, scratch: Path) -> None:
    first = backend.con.execute(f"SELECT trim(line, ' \t\r') FROM {parquet(scratch)} ORDER BY row LIMIT 1").fetchone()
    if first and first[0] and first[0].startswith("["):
        raise EventsError(f"{file} is one JSON array; expected an object a line, as jq -c '.[]' makes of it.")


def _lines(scratch: Path) -> str:
    """Write the SQL of the lines, with `object` null where a line holds none."""
    return f"""
        SELECT row, line, CASE WHEN json_valid(line) AND json_type(valid) = 'OBJECT' THEN line END AS object
        FROM (SELECT row, line, CASE WHEN json_valid(line) THEN line END AS valid FROM {parquet(scratch)})
        WHERE trim(line, ' \\t\\r') <> ''"""


def _members(lines: str, chosen: dict[str, str]) -> str:
    fields = ", ".join(f"object ->> {_pointer(name)} AS {identifier(field)}" for field, name in chosen.items())
    original = record({name: f"object -> {_pointer(name)}" for name in chosen.values()})
    return f"""
        SELECT row, {fields}, CASE WHEN object IS NULL THEN left(line, {KEPT}) ELSE {original} END AS record,
            CASE WHEN object IS NULL THEN 'malformed line: no JSON object' END AS reason
        FROM ({lines})"""


def _pointer(name: str) -> str:
    return literal("/" + name.replace("~", "~0").replace("/", "~1"))
