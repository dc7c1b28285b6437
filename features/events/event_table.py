"""The event table: one event per row, the contract for all input of Clout.

An event says that `actor` did `verb` to `target`, about `object`, at `time`. The columns map one to one onto W3C
ActivityStreams 2.0 (actor, object, inReplyTo, result, published, tag).
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from glob import escape
from os import SEEK_END, environ, getpid
from pathlib import Path
from tempfile import gettempdir

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa
from duckdb import Error as DuckDBError
from ibis.common.exceptions import IbisError
from ibis.expr.datatypes import DataType
from ibis.util import gen_name
from pyarrow import parquet

from features.errors import EngineError, EventsError, first_line
from features.events.spark_session import is_lost_connection, java_cause
from features.events.temporary_tables import fetch, new_name
from features.utc import latest_event_time

log = logging.getLogger("clout")

MEMORY = "4GB"
SECOND = 1_000_000
PARQUET_MAGIC = b"PAR1"  # the first and the last bytes of a file
MIN_PARQUET_BYTES = 12
EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")

SCHEMA = ibis.schema(
    {
        "time": "timestamp('UTC')",
        "actor": "string",
        "verb": "string",
        "target": "string",
        "object": "string",
        "result": "string",
        "network": "string",
        "topics": "array<string>",
        "content_hash": "string",
        "links": "int64",
    }
)
NETWORK = "default"
REQUIRED = ("time", "actor", "verb", "target")

NEGATIVE = ("dislike", "flag", "unfollow", "block")
ENDORSEMENTS = ("like", "repost", "quote")
RESPONSES = ("reply", "mention", *ENDORSEMENTS)
ENGAGEMENTS = ("reply", "mention", "follow", *ENDORSEMENTS, *NEGATIVE)
CREATIONS = ("post", "reply", "quote")
VERBS = ("post", "view", *ENGAGEMENTS)


def connect() -> ibis.BaseBackend:
    """Open an embedded DuckDB that works in UTC (set by Ibis) and spills to a temporary folder of its own.

    Its memory limit is 4 GB, or the environment variable `CLOUT_MEMORY`, such as `16GB`. DuckDB's progress bar is off:
    it would mix with machine-readable output.

    Raises
    ------
    EngineError : `CLOUT_MEMORY` is not a valid size

    """
    spill = str(Path(gettempdir()) / f"clout-spill-{getpid()}")
    memory = environ.get("CLOUT_MEMORY", MEMORY)
    try:
        backend = ibis.duckdb.connect(temp_directory=spill, memory_limit=memory)
    except DuckDBError as error:
        raise EngineError(f"CLOUT_MEMORY is {memory!r}; expected a size, such as {MEMORY}.") from error
    if backend.con.execute("SELECT current_setting('enable_progress_bar')").fetchone()[0]:
        backend.con.execute("SET enable_progress_bar = false")
    return backend


def open_events(
    source: str | Path | pd.DataFrame | pa.Table | ir.Table,
    engine: ibis.BaseBackend | None = None,
    files: Sequence[Path] = (),
) -> ir.Table:
    """Open an event table and check it against the schema.

    Parameters
    ----------
    source : a Parquet file, a folder of Parquet files, or a pandas, Arrow or Ibis table
    engine : the engine that reads it, None for an embedded DuckDB; if the source is not a path, it may name one of its
        tables
    files : the files of the source, from `readable_files`, if they are listed already

    Returns
    -------
    an Ibis table with exactly the columns of SCHEMA; missing optional columns are null. Events outside the range of
    `drop_impossible_times` are dropped, and with a warning those whose verb is none of VERBS.

    Raises
    ------
    EventsError : no events, the file is not Parquet, or a column is missing or of a type that cannot be read

    """
    table = _as_table(source, engine, files)
    missing = [name for name in REQUIRED if name not in table.columns]
    if missing:
        raise EventsError(
            f"the events lack the column(s) {', '.join(missing)}; found {', '.join(table.columns)}. "
            "'clout import table' makes an event table from other columns with --map FIELD=COLUMN."
        )
    events = table.select(**{name: _cast_column(table, name, dtype) for name, dtype in SCHEMA.items()})
    return _drop_unknown_verbs(drop_impossible_times(events, fixed=isinstance(source, pd.DataFrame | pa.Table)))


def drop_impossible_times(events: ir.Table, fixed: bool = False) -> ir.Table:
    """Drop, with a warning, the events before 1970, later than `latest_event_time`, or without a time.

    Events that are `fixed` cannot change any more: they are returned as they are if there is nothing to drop.
    """
    latest = latest_event_time()
    possible = events.time.between(ibis.literal(EPOCH), ibis.literal(latest))
    counts = events.aggregate(rows=events.count(), possible=possible.sum())
    (count,) = counts.to_pyarrow().to_pylist()
    if dropped := count["rows"] - (count["possible"] or 0):
        log.warning(
            f"{dropped} of {count['rows']} events do not count: they have no time, or one before 1970 or later than "
            f"{latest:%Y-%m-%d %H:%M:%S} UTC, the present plus the allowance for clocks (CLOUT_CLOCK_ALLOWANCE)."
        )
    return events if fixed and not dropped else events.filter(possible)


def _drop_unknown_verbs(events: ir.Table) -> ir.Table:
    by_verb = events.group_by("verb").agg(rows=lambda t: t.count())
    unknown = ~_is_verb(by_verb.verb)
    totals = {"rows": by_verb.rows.sum(), "unknown": by_verb.rows.sum(where=unknown)}
    (count,) = by_verb.aggregate(**totals, example=by_verb.verb.min(where=unknown)).to_pyarrow().to_pylist()
    dropped, example = count["unknown"], count["example"]
    if not dropped:
        return events
    reason = " is missing" if example is None else f", such as {example!r}, is none of {', '.join(VERBS)}"
    log.warning(
        f"{dropped} of {count['rows']} events do not count: their verb{reason}. 'clout import table' gives other words "
        "a verb with --verb WORD=VERB."
    )
    return events.filter(_is_verb(events.verb))


def _is_verb(verb: ir.StringValue) -> ir.BooleanValue:
    return verb.isin(VERBS).fill_null(False)


def _as_table(
    source: str | Path | pd.DataFrame | pa.Table | ir.Table, engine: ibis.BaseBackend | None, files: Sequence[Path]
) -> ir.Table:
    if isinstance(source, ir.Table):
        return source
    if isinstance(source, pd.DataFrame | pa.Table):
        return load_table(source, engine or connect())
    if engine is not None and not Path(source).exists() and str(source) in engine.list_tables():
        return engine.table(str(source))
    path = Path(source)
    return _read(path, files or readable_files(path), engine or connect())


def event_files(path: Path) -> list[Path]:
    """Return the Parquet files of an event table, a folder of them, or a store.

    Raises
    ------
    EventsError : there are none

    """
    files = sorted(file for file in path.rglob("*.parquet") if file.is_file()) if path.is_dir() else [path]
    if not path.exists() or not files:
        raise EventsError(f"no events at {path}: expected a Parquet file or a folder of Parquet files.{_hint(path)}")
    return files


def readable_files(path: Path) -> list[Path]:
    """Return the event files that engines read: those that are hidden or unfinished are left out, as Spark does.

    Such a file, or a folder between it and `path`, has a name that begins with a dot, or with an underscore unless it
    is that of a partition (`_a=b`): Clout, Spark and others write there what they move into its place at the end.

    Raises
    ------
    EventsError : there are none

    """
    files = [file for file in event_files(path) if not any(map(_is_hidden, file.relative_to(path).parts))]
    if not files:
        raise EventsError(
            f"no events at {path}: all of its Parquet files are hidden or unfinished, since their names or folders "
            "begin with a dot or an underscore."
        )
    return files


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or (name.startswith("_") and "=" not in name)


@dataclass(frozen=True)
class FileVersions:
    """The versions of files when they were opened, by which a change while they are read is noticed.

    Parameters
    ----------
    versions : size (bytes) and time of the last change (ns since 1970) of each file; None where there is none

    """

    versions: Mapping[Path, tuple[int, int] | None]

    @classmethod
    def of(cls, files: Iterable[Path]) -> "FileVersions":
        """Return the present versions of files."""
        return cls({file: _version(file) for file in files})

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Check at the end that the files are those that were opened, and where an error ends the reading.

        What an engine says of a file that changes under it depends on the engine, and on which part it was reading.

        Raises
        ------
        EventsError : one was replaced, rewritten or removed

        """
        try:
            yield
        except Exception:
            self.check_unchanged()
            raise
        self.check_unchanged()

    def check_unchanged(self) -> None:
        """Check that the files are those that were opened.

        Raises
        ------
        EventsError : one was replaced, rewritten or removed

        """
        for file, version in self.versions.items():
            if _version(file) != version:
                raise EventsError(
                    f"the events changed while they were read: {file} was replaced, rewritten or removed. Nothing was "
                    "stored; start the command again when nothing writes there."
                )


def _version(file: Path) -> tuple[int, int] | None:
    try:
        stat = file.stat()
    except FileNotFoundError:
        return None
    return stat.st_size, stat.st_mtime_ns


def _read(path: Path, files: Sequence[Path], engine: ibis.BaseBackend) -> ir.Table:
    try:
        if engine.name == "pyspark":
            return engine.read_parquet(
                str(path), mergeSchema=True, recursiveFileLookup=True, pathGlobFilter="*.parquet"
            )
        if engine.name == "duckdb":
            return engine.read_parquet([escape(str(file)) for file in files], union_by_name=True)
        table = pa.concat_tables(map(parquet.read_table, files))
    except Exception as error:
        if is_lost_connection(error):
            raise
        raise parquet_error(path, files, f"{java_cause(str(error))}.{_hint(path)}", "Import") from error
    return _create_table(table, engine)


def parquet_error(path: Path, files: Iterable[Path], cause: str, remedy: str) -> EventsError:
    """Return the error of Parquet files that cannot be read: the first that is empty or ends too early, or the cause.

    Parameters
    ----------
    path : what was to be read, one file or a folder
    files : its files; those whose names do not end in `.parquet`, or that begin in another way, are not unfinished
    cause : what the engine says, and what to do
    remedy : what makes a file again, such as `Import`

    """
    for file in files:
        if file.suffix.lower() == ".parquet" and (state := _unfinished_state(file)):
            return EventsError(
                f"{file} is {state}, so it cannot be read as Parquet. {remedy} it again, or remove it from its folder."
            )
    return EventsError(f"{path} cannot be read as Parquet: {cause}")


def _unfinished_state(file: Path) -> str:
    """Return `empty` or `incomplete`, or an empty text for other files."""
    try:
        with file.open("rb") as content:
            start, size = content.read(len(PARQUET_MAGIC)), content.seek(0, SEEK_END)
            content.seek(-len(start), SEEK_END)
            end = content.read()
    except OSError:
        return ""
    cut = start == PARQUET_MAGIC and (end != PARQUET_MAGIC or size < MIN_PARQUET_BYTES)
    return "incomplete" if cut else "" if size else "empty"


def _hint(path: Path) -> str:
    """Return what to do with files that are not Parquet; an empty text where a path holds none."""
    files = [path] if path.is_file() else sorted(file for file in path.glob("*") if file.is_file())
    others = [file for file in files if file.suffix != ".parquet" and not _is_hidden(file.name)]
    return f" Make an event table of other files first: clout import table {others[0]} --help" if others else ""


def _create_table(table: pa.Table, engine: ibis.BaseBackend) -> ir.Table:
    try:
        return engine.create_table(gen_name("events"), table, temp=True)
    except IbisError as error:
        raise EngineError(f"{engine.name} cannot hold the events: {first_line(error)}. Use another engine.") from error


def load_table(source: pd.DataFrame | pa.Table, engine: ibis.BaseBackend) -> ir.Table:
    """Load a table from memory into an engine; a column of nulls gets the schema's type.

    Raises
    ------
    EventsError : the table cannot be read

    """
    try:
        table = pa.Table.from_pandas(source, preserve_index=False) if isinstance(source, pd.DataFrame) else source
        typed = table.cast(pa.schema([field.with_type(_field_type(field)) for field in table.schema]))
        if engine.name == "pyspark":
            return engine.create_view(gen_name("events"), ibis.memtable(typed))
        if engine.name == "duckdb":
            return engine.create_table(new_name(engine, "events"), typed, temp=True)
    except Exception as error:
        if is_lost_connection(error):
            raise
        raise EventsError(f"the table cannot be read: {java_cause(str(error))}") from error
    return _create_table(typed, engine)


def _field_type(field: pa.Field) -> pa.DataType:
    if pa.types.is_list(field.type) and pa.types.is_null(field.type.value_type):
        return pa.list_(pa.string())
    if not pa.types.is_null(field.type):
        return field.type
    return SCHEMA[field.name].to_pyarrow() if field.name in SCHEMA else pa.string()


def _cast_column(table: ir.Table, name: str, dtype: DataType) -> ir.Value:
    """Return the column in the schema's type, or nulls if it is missing."""
    if name not in table.columns:
        return ibis.literal(NETWORK) if name == "network" else ibis.null(dtype)
    column = table[name]
    actual = column.type()
    if name == "verb" and not (actual.is_string() or actual.is_null()):
        raise EventsError(f"the column verb is of type {actual}; expected string.")
    if name == "time":
        if not actual.is_timestamp():
            raise EventsError(f"the column time is of type {actual}; expected a timestamp in UTC.")
        return column.cast("timestamp('UTC')") if actual.timezone is None else column
    if _is_castable(actual, dtype):
        return column.try_cast(dtype) if actual.is_floating() else column.cast(dtype)
    if column.count().to_pyarrow().as_py() == 0:
        return ibis.null(dtype)
    raise EventsError(f"the column {name} is of type {actual}; expected {dtype}.")


def _is_castable(actual: DataType, dtype: DataType) -> bool:
    """Return whether a column can be read as the schema's type; numbers are valid ids of users and tags."""
    if dtype.is_array():
        return actual.is_array() and _is_castable(actual.value_type, dtype.value_type)
    if dtype.is_string():
        return bool(actual.is_string() or actual.is_integer())
    return bool(actual.is_integer() or actual.is_floating())


def time_range(events: ir.Table) -> tuple[datetime, datetime]:
    """Return the first and the last instant of the events.

    Raises
    ------
    EventsError : no events

    """
    (ends,) = fetch(events.aggregate(first=events.time.min(), last=events.time.max())).to_pylist()
    if ends["first"] is None:
        raise EventsError("the event table is empty: there is nothing to count.")
    return ends["first"].astimezone(UTC), ends["last"].astimezone(UTC)
