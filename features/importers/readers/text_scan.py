"""Scan text files line by line with DuckDB; lines that do not parse become rows with a reason."""

from collections.abc import Callable
from pathlib import Path

from duckdb import Error as DuckDBError
from ibis.backends.duckdb import Backend

from features.errors import EventsError, first_line
from features.events.engines import sql_file_literal, sql_literal
from features.importers.readers.files import compression, ensure_readable

MALFORMED = {
    "MISSING COLUMNS": "too few fields",
    "TOO MANY COLUMNS": "too many fields",
    "UNQUOTED VALUE": "unbalanced quotes",
    "LINE SIZE OVER MAXIMUM": "line too long",
}
MAX_RECORD_CHARS = 500


def numbered(rows: str) -> str:
    """Return SQL that numbers the rows of a query from 1, in the order of the file."""
    return f"SELECT row_number() OVER () AS row, * FROM ({rows})"


def scan(
    backend: Backend,
    file: Path,
    columns: dict[str, str],
    scratch: Path,
    shape: Callable[[str], str] = numbered,
    /,
    **options: str,
) -> str:
    """Copy a text file into the Parquet file `scratch`, in the order of the file.

    Parameters
    ----------
    backend : the engine that reads
    file : plain, gzipped where its name ends in .gz, or compressed with Zstandard where it ends in .zst
    columns : new names of the columns of the file, in order; an empty name drops a column
    scratch : the Parquet file to write; its stem must be a valid SQL name
    shape : maps the SQL of the selected columns to the SQL of what is written, row by row. By default `row` is added,
        the number among the records that parse; numbering uses one core, while `rows_of` numbers later on all cores
    options : options of DuckDB's `read_csv`, as SQL

    Returns
    -------
    the name of DuckDB's table of the lines that do not parse

    Raises
    ------
    EventsError : the file is truncated, is not UTF-8, or mixes line endings

    """
    rejects = f"rejects_{scratch.stem}"
    source = ensure_readable(file, scratch)
    try:
        backend.con.execute(_copy(source, columns, scratch, rejects, shape, options))
    except DuckDBError as error:
        raise EventsError(f"{file} cannot be read: {_cause(error)}") from error
    finally:
        if source != file:
            source.unlink()
    _require_utf8(backend, rejects, file)
    return rejects


def rows_of(scratch: Path) -> str:
    """Return SQL that reads what `scan` wrote with a custom shape, and adds `row`, the number among parsed records."""
    source = f"read_parquet({sql_file_literal(scratch)}, file_row_number = true)"
    return f"SELECT file_row_number + 1 AS row, * EXCLUDE file_row_number FROM {source}"


def _copy(
    file: Path,
    columns: dict[str, str],
    scratch: Path,
    rejects: str,
    shape: Callable[[str], str],
    options: dict[str, str],
) -> str:
    settings = {
        "auto_detect": "false",
        "columns": "{" + ", ".join(f"{name}: 'VARCHAR'" for name in columns) + "}",
        "compression": sql_literal(compression(file)),
        "store_rejects": "true",
        "rejects_table": sql_literal(rejects),
        "rejects_scan": sql_literal(f"{rejects}_scan"),
        **options,
    }
    arguments = ", ".join(f"{name} = {value}" for name, value in settings.items())
    selected = ", ".join(f"{name} AS {field}" for name, field in columns.items() if field)
    rows = shape(f"SELECT {selected} FROM read_csv({sql_file_literal(file)}, {arguments})")
    return f"COPY ({rows}) TO {sql_literal(str(scratch))} (FORMAT parquet)"


def _cause(error: Exception) -> str:
    text = first_line(error)
    if "state machine" in text:
        return "its lines seem to have different endings; convert them first, for instance with dos2unix."
    return text


def _require_utf8(backend: Backend, rejects: str, file: Path) -> None:
    line = backend.con.execute(f"SELECT min(line) FROM {rejects} WHERE error_type = 'INVALID ENCODING'").fetchone()
    if line and line[0] is not None:
        raise EventsError(
            f"{file} is not in UTF-8 at line {line[0]}; convert it first, for instance with iconv -f LATIN1 -t UTF-8."
        )


def with_malformed(good: str, rejects: str, header: int) -> str:
    """Return SQL of the records that parse and the lines that do not, numbered by their position in the file.

    Parameters
    ----------
    good : SQL with `row`, from `scan` or `rows_of`, `record` and `reason`, and any other columns, which are null for
        malformed lines
    rejects : the table of malformed lines, from `scan`
    header : number of lines before the first record

    """
    reasons = " ".join(f"WHEN {sql_literal(kind)} THEN {sql_literal(text)}" for kind, text in MALFORMED.items())
    return f"""
        WITH good AS ({good}), bad AS (
            SELECT (line - {header})::BIGINT AS row, row_number() OVER (ORDER BY line) AS rank, kind, csv_line FROM (
                SELECT line, first(error_type) AS kind, first(csv_line) AS csv_line FROM {rejects} GROUP BY line)),
        skipped AS (SELECT row - rank AS after, max(rank) AS lines FROM bad GROUP BY after)
        SELECT good.* REPLACE (good.row + coalesce(skipped.lines, 0) AS row)
        FROM good ASOF LEFT JOIN skipped ON good.row > skipped.after
        UNION ALL BY NAME
        SELECT row, left(csv_line, {MAX_RECORD_CHARS}) AS record,
            'malformed line: ' || CASE kind {reasons} ELSE lower(kind) END AS reason FROM bad"""
