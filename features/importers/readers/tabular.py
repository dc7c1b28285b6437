"""Tables in files: Parquet and delimited text (CSV and TSV, plain or gzipped), and the scan of text files by DuckDB.

Records of the wrong shape, and lines that do not parse, become rows with a reason.
"""

import csv
import gzip
import re
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import ibis.expr.types as ir
from duckdb import Error as DuckDBError
from ibis.backends.duckdb import Backend

from features.errors import EventsError, first_line, memory_limit_error
from features.events.engines import (
    create_view,
    json_object_sql,
    read_parquet_sql,
    sql_file_literal,
    sql_identifier,
    sql_literal,
)
from features.events.event_table import parquet_error
from features.importers.readers.files import (
    CHUNK_BYTES,
    compression,
    ensure_readable,
    hint_about_content,
    open_decompressed,
)

DELIMITERS = (",", ";", "\t", "|")
MAX_HEADER_BYTES = 1_000_000
LINE_END = re.compile(rb"\r+\n?")
SEPARATOR = re.compile(r"sep=(.)", re.IGNORECASE)
MALFORMED_LINE = "malformed line: "  # how the reasons of lines that do not parse begin
MALFORMED = {
    "MISSING COLUMNS": "too few fields",
    "TOO MANY COLUMNS": "too many fields",
    "UNQUOTED VALUE": "unbalanced quotes",
    "LINE SIZE OVER MAXIMUM": "line too long",
}
QUOTED_LINES = "(1 + length(rtrim(csv_line, chr(10))) - length(replace(rtrim(csv_line, chr(10)), chr(10), '')))"
LENGTH = "length({}) || ' characters'"  # the record of a malformed line, which may hold texts of users


@dataclass(frozen=True)
class TableReader:
    """The columns of a file of any format, and how to read some of them.

    `select` maps fields to columns, and returns a table with one column per field, `row` (the number of the record in
    the file, from 1), `digest` (a hash of all columns of the file, selected or not), `record` (the selected columns as
    JSON, or the length of a line that does not parse, because it may hold texts that are never stored) and `reason`
    (null, or what is wrong with the line).

    A column may also be a member of an object, such as `author.id`, if `has_member` says so.
    """

    columns: list[str]
    select: Callable[[dict[str, str]], ir.Table]
    has_member: Callable[[str], bool] = lambda _: False


def open_parquet(backend: Backend, file: Path, scratch: Path) -> TableReader:
    """Open a Parquet file; its columns keep their types, except binary ones, which some writers make of text.

    Binary values become text; those that are not in UTF-8, such as UUIDs, become hexadecimal text.

    Raises
    ------
    EventsError : it is not a Parquet file, or not a complete one

    """
    source = f"read_parquet({sql_file_literal(file)}, file_row_number = true)"
    try:
        columns = backend.con.execute(f"DESCRIBE SELECT * EXCLUDE file_row_number FROM {source}").fetchall()
    except DuckDBError as error:
        raise parquet_error(file, [file], first_line(error), "Export") from error
    names = [name for name, *_ in columns]
    binary = {name for name, kind, *_ in columns if kind == "BLOB"}
    digest = digest_sql(list(map(sql_identifier, sorted(names))))

    def column_sql(name: str) -> str:
        column = ".".join(map(sql_identifier, [name] if name in names else name.split(".")))
        return f"coalesce(TRY(decode({column})), '0x' || hex({column}))" if name in binary else column

    def has_member(name: str) -> bool:
        try:
            backend.con.execute(f"DESCRIBE SELECT {column_sql(name)} FROM {source}")
        except DuckDBError:
            return False
        return "." in name

    def sql(mapping: dict[str, str]) -> str:
        fields = ", ".join(f"{column_sql(name)} AS {sql_identifier(field)}" for field, name in mapping.items())
        record = json_object_sql({name: column_sql(name) for name in mapping.values()})
        return (
            f"SELECT file_row_number + 1 AS row, {digest}, {fields}, {record} AS record, NULL::VARCHAR AS reason "
            f"FROM {source}"
        )

    return TableReader(names, lambda mapping: create_view(backend, scratch.stem, sql(mapping)), has_member)


def match_column(name: str, columns: Iterable[str]) -> str | None:
    """Return the column of a name; if there is none, the only one that differs in case, spaces and underscores."""
    columns = list(columns)
    if name in columns:
        return name
    similar = [column for column in columns if _plain(column) == _plain(name)]
    return similar[0] if len(similar) == 1 else None


def _plain(name: str) -> str:
    return name.strip().replace("_", "").lower()


def open_delimited(backend: Backend, file: Path, scratch: Path) -> TableReader:
    """Open delimited text with column names in the first line, gzipped where the name ends in .gz; all fields are text.

    Raises
    ------
    EventsError : the file has no header, names a column twice, is truncated, or is not UTF-8

    """
    first = read_header(file)
    names = first.names
    duplicates = sorted({name for name in names if name and names.count(name) > 1})
    if duplicates:
        raise EventsError(f"{file} has more than one column {', '.join(duplicates)}; give each its own name.")
    options = {
        "skip": str(first.lines - 1),
        "header": "true",
        "delim": sql_literal(first.delimiter),
        "quote": "'\"'",
        "escape": "'\"'",
    }

    def sql(mapping: dict[str, str]) -> str:
        columns = [f"c{n}" for n in range(len(names))]
        selected = ", ".join(column for column, name in zip(columns, names, strict=True) if name in mapping.values())
        digest = digest_sql([column for _, column in sorted(zip(names, columns, strict=True))])
        rejects = scan(
            backend,
            file,
            {column: column for column in columns},
            scratch,
            lambda rows: numbered(f"SELECT {digest}, {selected} FROM ({rows})"),
            **options,
        )
        return with_malformed(_records(names, mapping, scratch), rejects, header=first.lines)

    return TableReader(names, lambda mapping: create_view(backend, scratch.stem, sql(mapping)))


@dataclass(frozen=True)
class Header:
    """The first lines of delimited text: how many, the delimiter, and the names of the columns without spaces."""

    lines: int
    delimiter: str
    names: list[str]


def read_header(file: Path) -> Header:
    """Read the names of the columns; a line before them, such as `sep=;`, may name the delimiter.

    Raises
    ------
    EventsError : the file has no header, or is not UTF-8

    """
    try:
        with gzip.open(file, "rb") if file.suffix.lower() == ".gz" else file.open("rb") as lines:
            text = lines.readline(MAX_HEADER_BYTES).decode("utf-8-sig")
            line = re.split("[\r\n]", text, maxsplit=1)[0]
            separator = SEPARATOR.fullmatch(line)
            if separator:
                line = lines.readline(MAX_HEADER_BYTES).decode().rstrip("\r\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise EventsError(f"{file} cannot be read as text in UTF-8: {error}. {hint_about_content(file, '')}") from error
    if not text:
        raise EventsError(
            f"{file} is empty; expected the names of its columns, such as time,actor,verb,target, and rows below them. "
            "Export it again."
        )
    if not line.strip() or "\0" in line:
        expected = "does not begin with the names of its columns, such as time,actor,verb,target."
        raise EventsError(f"{file} {expected} {hint_about_content(file, '')}".strip())
    delimiter = separator.group(1) if separator else _delimiter(file, line)
    return Header(2 if separator else 1, delimiter, _split(line, delimiter))


def _delimiter(file: Path, line: str) -> str:
    """Return the delimiter that splits the header into most names; a comma if none does."""
    return "\t" if ".tsv" in file.name.lower() else max(DELIMITERS, key=lambda delimiter: len(_split(line, delimiter)))


def _split(line: str, delimiter: str) -> list[str]:
    return [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]


def looks_like_csv(file: Path) -> bool:
    """Return whether the first two lines of a file, plain or compressed, have equally many fields, two or more."""
    try:
        with open_decompressed(file) as text:
            first, second, *_ = text.read(MAX_HEADER_BYTES).decode("utf-8-sig", "replace").splitlines()
        delimiter = _delimiter(file, first)
        fields = [len(_split(line, delimiter)) for line in (first, second)]
    except (OSError, ValueError, csv.Error):
        return False
    return not first.startswith(("{", "[", "<")) and fields[0] == fields[1] > 1


def _records(names: list[str], mapping: dict[str, str], scratch: Path) -> str:
    columns = {name: f"c{names.index(name)}" for name in mapping.values()}
    fields = ", ".join(f"{columns[name]} AS {sql_identifier(field)}" for field, name in mapping.items())
    record = json_object_sql(columns)
    return f"SELECT row, digest, {fields}, {record} AS record, NULL::VARCHAR AS reason FROM {read_parquet_sql(scratch)}"


def digest_sql(columns: list[str]) -> str:
    """Return SQL of the column `digest`, equal for rows that are equal in all columns of a file."""
    return f"hash({', '.join(columns)}) AS digest"


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
    EventsError : the file is truncated, or is not UTF-8

    """
    rejects = f"rejects_{scratch.stem}"
    source = ensure_readable(file, scratch)
    try:
        try:
            backend.con.execute(_copy(source, columns, scratch, rejects, shape, options))
        except DuckDBError as error:
            if "state machine" not in str(error):
                raise
            source = _with_line_feeds(file, scratch)
            backend.con.execute(f"DROP TABLE IF EXISTS {rejects}; DROP TABLE IF EXISTS {rejects}_scan")
            backend.con.execute(_copy(source, columns, scratch, rejects, shape, options))
    except DuckDBError as error:
        raise memory_limit_error(error) or EventsError(f"{file} cannot be read: {first_line(error)}") from error
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


def _with_line_feeds(file: Path, scratch: Path) -> Path:
    """Copy a file whose lines have different endings, each of which becomes a line feed."""
    copy = scratch.with_suffix(".lines")
    with open_decompressed(file) as text, copy.open("wb") as out:
        last = b""
        while chunk := text.read(CHUNK_BYTES):
            chunk = last + chunk
            complete = chunk.rstrip(b"\r")
            last = chunk[len(complete) :]
            out.write(LINE_END.sub(b"\n", complete))
        out.write(b"\n" if last else b"")
    return copy


def _require_utf8(backend: Backend, rejects: str, file: Path) -> None:
    line = backend.con.execute(f"SELECT min(line) FROM {rejects} WHERE error_type = 'INVALID ENCODING'").fetchone()
    if line and line[0] is not None:
        convert = "Convert it first, for instance with iconv -f LATIN1 -t UTF-8."
        raise EventsError(f"{file} is not in UTF-8 at line {line[0]}. {hint_about_content(file, convert)}")


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
        SELECT row, {LENGTH.format("csv_line")} AS record,
            {sql_literal(MALFORMED_LINE)} || CASE kind {reasons} ELSE lower(kind) END
            || CASE WHEN kind = 'UNQUOTED VALUE' AND {QUOTED_LINES} > 1
               THEN ', which take ' || {QUOTED_LINES} || ' lines or more into one row' ELSE '' END AS reason FROM bad"""
