"""The event table: one act a row, the contract at the door of Clout.

An event says that `actor` did `verb` to `target`, about `object`, at `time`. The columns map one to one onto W3C
ActivityStreams 2.0 (actor, object, inReplyTo, result, published, tag).
"""

from datetime import UTC, datetime
from glob import escape
from os import environ, getpid
from pathlib import Path
from tempfile import gettempdir

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa
from duckdb import Error as DuckDBError
from ibis.util import gen_name
from pyarrow import parquet

from features.errors import EngineError, EventsError

MEMORY = "4GB"

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
    """Open an embedded DuckDB that works in UTC (Ibis sees to it) and spills to a temporary folder of its own.

    It takes 4 GB of memory at most, or what the environment's `CLOUT_MEMORY` says, such as `16GB`. Its own progress bar
    is off: it would mix with what is printed for machines.

    Raises
    ------
    EngineError : `CLOUT_MEMORY` is no size

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
    source: str | Path | pd.DataFrame | pa.Table | ir.Table, engine: ibis.BaseBackend | None = None
) -> ir.Table:
    """Open an event table and hold it against the schema.

    Parameters
    ----------
    source : a Parquet file, a folder of Parquet files, or a pandas, Arrow or Ibis table
    engine : what reads it; None is an embedded DuckDB. Where there is no such file, a name of a table in it

    Returns
    -------
    an Ibis table with exactly the columns of SCHEMA; optional columns that are absent come as nulls

    Raises
    ------
    EventsError : nothing is there, it is not Parquet, or a column is missing or of a type that cannot be read

    """
    found = _as_table(source, engine)
    missing = [name for name in REQUIRED if name not in found.columns]
    if missing:
        raise EventsError(
            f"the events lack the column(s) {', '.join(missing)}; found {', '.join(found.columns)}. "
            "'clout import table' makes an event table from other columns with --map FIELD=COLUMN."
        )
    return found.select(**{name: _fitted(found, name, kind) for name, kind in SCHEMA.items()})


def _as_table(source: str | Path | pd.DataFrame | pa.Table | ir.Table, engine: ibis.BaseBackend | None) -> ir.Table:
    if isinstance(source, ir.Table):
        return source
    if isinstance(source, pd.DataFrame | pa.Table):
        return load_table(source, engine or connect())
    if engine is not None and not Path(source).exists() and str(source) in engine.list_tables():
        return engine.table(str(source))
    return _read(Path(source), engine or connect())


def _read(path: Path, engine: ibis.BaseBackend) -> ir.Table:
    files = sorted(file for file in path.rglob("*.parquet") if file.is_file()) if path.is_dir() else [path]
    if not path.exists() or not files:
        raise EventsError(f"no events at {path}: expected a Parquet file or a folder of Parquet files.")
    try:
        if engine.name == "pyspark":
            return engine.read_parquet(
                str(path), mergeSchema=True, recursiveFileLookup=True, pathGlobFilter="*.parquet"
            )
        if engine.name == "duckdb":
            return engine.read_parquet([escape(str(file)) for file in files], union_by_name=True)
        return engine.create_table(gen_name("events"), pa.concat_tables(map(parquet.read_table, files)), temp=True)
    except Exception as error:
        raise EventsError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}") from error


def load_table(source: pd.DataFrame | pa.Table, engine: ibis.BaseBackend) -> ir.Table:
    """Load a table from memory to where an engine finds it; a column that holds nothing gets the schema's type.

    Raises
    ------
    EventsError : it cannot be read

    """
    try:
        table = pa.Table.from_pandas(source, preserve_index=False) if isinstance(source, pd.DataFrame) else source
        typed = table.cast(pa.schema([field.with_type(_typed(field)) for field in table.schema]))
        if engine.name == "pyspark":
            return engine.create_view(gen_name("events"), ibis.memtable(typed))
        return engine.create_table(gen_name("events"), typed, temp=True)
    except Exception as error:
        raise EventsError(f"the table cannot be read: {str(error).splitlines()[0]}") from error


def _typed(field: pa.Field) -> pa.DataType:
    if pa.types.is_list(field.type) and pa.types.is_null(field.type.value_type):
        return pa.list_(pa.string())
    if not pa.types.is_null(field.type):
        return field.type
    return SCHEMA[field.name].to_pyarrow() if field.name in SCHEMA else pa.string()


def _fitted(found: ir.Table, name: str, kind: ibis.expr.datatypes.DataType) -> ir.Value:
    """Return the column in the schema's type, or nulls where it is absent."""
    if name not in found.columns:
        return ibis.literal(NETWORK) if name == "network" else ibis.null(kind)
    column = found[name]
    held = column.type()
    if name == "time":
        if not held.is_timestamp():
            raise EventsError(f"the column time is of type {held}; expected a timestamp in UTC.")
        return column.cast("timestamp('UTC')") if held.timezone is None else column
    if _readable(held, kind):
        return column.try_cast(kind) if held.is_floating() else column.cast(kind)
    if column.count().to_pyarrow().as_py() == 0:
        return ibis.null(kind)
    raise EventsError(f"the column {name} is of type {held}; expected {kind}.")


def _readable(held: ibis.expr.datatypes.DataType, kind: ibis.expr.datatypes.DataType) -> bool:
    """Tell whether a column can be read as the schema's type: numbers name people and tags as well as text does."""
    if kind.is_array():
        return held.is_array() and _readable(held.value_type, kind.value_type)
    if kind.is_string():
        return held.is_string() or held.is_integer()
    return held.is_integer() or held.is_floating()


def time_range(events: ir.Table) -> tuple[datetime, datetime]:
    """Return the first and the last instant of the events.

    Raises
    ------
    EventsError : there are no events

    """
    ends = events.aggregate(first=events.time.min(), last=events.time.max()).to_pyarrow().to_pylist()[0]
    if ends["first"] is None:
        raise EventsError("the event table is empty: there is nothing to count.")
    return ends["first"].astimezone(UTC), ends["last"].astimezone(UTC)


SECOND = 1_000_000


EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
