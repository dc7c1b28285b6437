"""Scanning of text files, line by line; lines that don't parse are kept with the reason."""

import gzip
import zlib
from pathlib import Path

from duckdb import Error as DuckDBError
from ibis.backends.duckdb import Backend

from features.errors import EventsError
from features.sources.quoting import file_literal, literal

MALFORMED = {
    "MISSING COLUMNS": "too few fields",
    "TOO MANY COLUMNS": "too many fields",
    "UNQUOTED VALUE": "unbalanced quotes",
    "LINE SIZE OVER MAXIMUM": "line too long",
}
KEPT = 500
CHUNK_BYTES = 1 << 20


def scan(backend: Backend, file: Path, columns: dict[str, str], scratch: Path, **options: str) -> str:
    """Copy a text file into the Parquet file `scratch`, with `row`, the number among the records that parse, from 1.

    Parameters
    ----------
    backend : the engine that reads
    file : plain, or gzipped where its name ends in .gz
    columns : for each column of the file, in order, the name it gets, or none where it isn't wanted
    scratch : the Parquet file to write; its stem must be a name in SQL
    options : of DuckDB's `read_csv`, as SQL

    Returns
    -------
    the name of DuckDB's table of the lines that don't parse

    Raises
    ------
    EventsError : the file is truncated, is not UTF-8, or its lines end in different ways

    """
    rejects = f"rejects_{scratch.stem}"
    try:
        _refuse_truncated(file)
        backend.con.execute(_copy(file, columns, scratch, rejects, options))
    except (DuckDBError, OSError, EOFError, zlib.error) as error:
        raise EventsError(f"{file} cannot be read: {_cause(error)}") from error
    _refuse_encoding(backend, rejects, file)
    return rejects


def _copy(file: Path, columns: dict[str, str], scratch: Path, rejects: str, options: dict[str, str]) -> str:
    settings = {
        "auto_detect": "false",
        "columns": "{" + ", ".join(f"{name}: 'VARCHAR'" for name in columns) + "}",
        "compression": "'gzip'" if file.suffix.lower() == ".gz" else "'none'",
        "store_rejects": "true",
        "rejects_table": literal(rejects),
        "rejects_scan": literal(f"{rejects}_scan"),
        **options,
    }
    given = ", ".join(f"{name} = {value}" for name, value in settings.items())
    wanted = ", ".join(f"{name} AS {field}" for name, field in columns.items() if field)
    return (
        f"COPY (SELECT row_number() OVER () AS row, {wanted} FROM read_csv({file_literal(file)}, {given})) "
        f"TO {literal(str(scratch))} (FORMAT parquet)"
    )


def _cause(error: Exception) -> str:
    text = str(error).splitlines()[0]
    if "state machine" in text:
        return "its lines seem to end in different ways; make them alike first, for instance with dos2unix."
    return text


def _refuse_truncated(file: Path) -> None:
    """Read a gzipped file to its end, since not every DuckDB notices that the end is missing."""
    if file.suffix.lower() == ".gz":
        with gzip.open(file) as text:
            while text.read(CHUNK_BYTES):
                pass


def _refuse_encoding(backend: Backend, rejects: str, file: Path) -> None:
    found = backend.con.execute(f"SELECT min(line) FROM {rejects} WHERE error_type = 'INVALID ENCODING'").fetchone()
    if found and found[0] is not None:
        raise EventsError(
            f"{file} is not in UTF-8 at line {found[0]}; convert it first, for instance with iconv -f LATIN1 -t UTF-8."
        )


def with_malformed(good: str, rejects: str, header: int) -> str:
    """Write the SQL that joins the records that parse with the lines that don't, numbered as they stand in the file.

    Parameters
    ----------
    good : SQL with `row`, from `scan`, `record` and `reason`, and any other columns, which are null for the others
    rejects : the table of the other lines, from `scan`
    header : number of lines before the first record

    """
    reasons = " ".join(f"WHEN {literal(kind)} THEN {literal(text)}" for kind, text in MALFORMED.items())
    return f"""
        WITH good AS ({good}), bad AS (
            SELECT (line - {header})::BIGINT AS row, row_number() OVER (ORDER BY line) AS rank, kind, csv_line FROM (
                SELECT line, first(error_type) AS kind, first(csv_line) AS csv_line FROM {rejects} GROUP BY line)),
        skipped AS (SELECT row - rank AS after, max(rank) AS lines FROM bad GROUP BY after)
        SELECT good.* REPLACE (good.row + coalesce(skipped.lines, 0) AS row)
        FROM good ASOF LEFT JOIN skipped ON good.row > skipped.after
        UNION ALL BY NAME
        SELECT row, left(csv_line, {KEPT}) AS record,
            'malformed line: ' || CASE kind {reasons} ELSE lower(kind) END AS reason FROM bad"""
