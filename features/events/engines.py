"""Open the engines that compute features, by name or by URL; call their functions; quote names and texts for SQL."""

import re
from collections.abc import Callable
from glob import escape
from inspect import Parameter, Signature
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.types as ir
from ibis.util import backend_entry_points

from features.errors import CloutError, EngineError, EventsError, OutputError, did_you_mean, first_line
from features.events.event_table import connect
from features.events.spark_session import connect_spark, is_lost_connection, java_cause

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

URL_KINDS = ("file", *(entry.name for entry in backend_entry_points() if entry.name != "pyspark"))
SPARK_MASTER = re.compile(r"(spark|k8s|sc|pyspark)://|local(\[.*\])?$|yarn$")
ENGINES = {"pyspark": "Spark", "py4j": "Spark", "grpc": "Spark", "psycopg": "PostgreSQL"}  # by package of an error
MISSING_MODULE = re.compile(r"No module named '([\w.]+)'")
OTHER_PYTHON = re.compile(r"PYTHON_VERSION_MISMATCH\D*([\d.]+\d)\D*([\d.]+\d)")
NO_PYTHON = re.compile(r'Cannot run program "([^"]+)"')
DISK_FULL = re.compile("No space left on device|Disk quota exceeded|File too large")
WRITTEN_TO = re.compile(r"writing rows to (?:file:/*)?(/\S*\w)")
FILE_GONE = re.compile(r"IO Error: (No files found|Cannot open file .*No such file)")  # of DuckDB
FILE_DAMAGED = re.compile("Invalid Input Error: (Failed to read|No magic bytes|File .* too small)|TProtocolException")
# Of Spark: what is wrong, and the file.
UNREADABLE = re.compile(r"\[FAILED_READ_FILE\.(\w+)\] Encountered error while reading file (?:file://)?(\S*\w)")
HEAP_FULL = "java.lang.OutOfMemoryError"
EXECUTORS_LOST = re.compile(
    r"ExecutorLostFailure \([^)]*\)\s*Reason: ([^\n]*\w)|(Master removed our application)|"
    r"(Python worker exited unexpectedly)"
)


def open_engine(name: str) -> ibis.BaseBackend:
    """Open an engine.

    Parameters
    ----------
    name : `duckdb`, embedded; `spark`, the session of this process, else a new one with the settings that Spark reads
        (SPARK_REMOTE, spark-defaults.conf, spark-submit), else a local one; or the URL of any backend that Ibis knows,
        such as `postgres://user@host/database`

    Raises
    ------
    EngineError : the engine is unknown, a package for it is not installed, or it cannot be reached

    """
    if name == "duckdb":
        return connect()
    if name == "spark":
        return connect_spark()
    kind = name.partition("://")[0].replace("postgresql", "postgres")
    if "://" not in name or kind not in URL_KINDS:
        raise _not_an_engine(name)
    try:
        return ibis.connect(name)
    except ImportError as error:
        raise EngineError(
            f"{kind} needs a package: pip install 'ibis-framework[{kind}]' ({first_line(error)})."
        ) from error
    except Exception as error:
        address = _without_secrets(name)
        reason = first_line(error).replace(name, address).removesuffix(".")
        raise EngineError(f"{address} cannot be reached: {reason}. Start it, or correct the URL.") from error


def _not_an_engine(name: str) -> EngineError:
    """Return the error of a name that is neither that of an engine nor a URL."""
    if SPARK_MASTER.match(name):
        return EngineError(
            f"{name!r} is a master of Spark; expected --engine spark. Name the master by spark.master in "
            "spark-defaults.conf, by --master of spark-submit, or, for Spark Connect, by SPARK_REMOTE."
        )
    kind, is_url, _ = name.partition("://")
    near = did_you_mean(kind.strip().lower(), [*URL_KINDS, "postgresql"] if is_url else ["duckdb", "spark"])
    return EngineError(
        f"{_without_secrets(name) if is_url else name!r} is not a valid engine{near}; expected duckdb, spark, or a URL "
        "such as postgres://user@host/database."
    )


def engine_error(error: BaseException) -> CloutError | None:
    """Return the error to show where Spark or a database failed; None for other errors."""
    text = str(error)
    if unreadable := _unreadable_file(error):
        return unreadable
    engine = _failed_engine(error)
    if engine is None:
        return None
    if HEAP_FULL in text:
        return EngineError(
            f"{engine} ran out of memory (Java heap space). Give it more: spark.driver.memory for the driver and a "
            "local master, spark.executor.memory for executors, in spark-defaults.conf or by spark-submit; or more "
            "partitions, spark.sql.shuffle.partitions."
        )
    if python := _python_error(engine, text):
        return python
    if lost := EXECUTORS_LOST.search(text):
        return EngineError(
            f"executors of {engine} ended again and again ({next(filter(None, lost.groups()))}), killed or out of "
            "memory. Give them more: spark.executor.memory, and spark.executor.memoryOverhead for their Python; on a "
            "local master spark.driver.memory for all. Nothing was changed; start the command again."
        )
    if full := DISK_FULL.search(text):
        return OutputError(
            f"a disk that {engine} writes to is full ({full[0]}){_folders(engine, text)}. Free space there. Nothing "
            "was changed."
        )
    if is_lost_connection(error):
        text = f"its Java process has ended ({text}), killed or out of memory, of which spark.driver.memory gives more."
    return EngineError(
        f"{engine} failed half way: {java_cause(text).removesuffix('.')}. Nothing was changed; start the command again."
    )


def _unreadable_file(error: BaseException) -> EventsError | None:
    """Return the error to show where a file that an engine reads is gone or damaged; None for other errors."""
    text, reason = str(error), first_line(error)
    gone, damaged = FILE_GONE.match(text), FILE_DAMAGED.match(text)
    if spark := UNREADABLE.search(text):
        gone, damaged = (spark, None) if spark[1] == "FILE_NOT_EXIST" else (None, spark)
        reason = f"{spark[2]}: {java_cause(text)}"
    if gone:
        return EventsError(
            f"a file of the events was removed while they were read ({reason}). Nothing was changed; start the command "
            "again."
        )
    if damaged:
        return EventsError(
            f"a file of the events is damaged ({reason}). Replace it by an undamaged copy; build a store again from "
            "its events."
        )
    return None


def _folders(engine: str, text: str) -> str:
    """Return in which folders an engine was writing when a disk was full, as far as it is known."""
    if engine != "Spark":
        return ""
    target = WRITTEN_TO.search(text)
    result = f"the one of {target[1]}, or " if target else ""
    return f": {result}that of its temporary files, which spark.local.dir or SPARK_LOCAL_DIRS names, by default /tmp"


def _python_error(engine: str, text: str) -> EngineError | None:
    """Return the error to show where the executors have no Python that can score; None for other errors."""
    if missing := MISSING_MODULE.search(text):
        state, package = f"lack the package {missing[1]}", "this version of clout-score, with what it needs,"
    elif other := OTHER_PYTHON.search(text):
        state, package = f"run Python {other[1]}", f"Python {other[2]}, as this process has, and clout-score"
    elif absent := NO_PYTHON.search(text):
        state, package = f"find no program {absent[1]}", "Python and this version of clout-score"
    else:
        return None
    return EngineError(
        f"the executors of {engine} {state}: install {package} on every worker, or ship an environment by "
        "spark.archives; PYSPARK_PYTHON names that Python."
    )


def _failed_engine(error: BaseException) -> str | None:
    """Return the engine whose package raised an error, or failed to reach its process; None for other errors."""
    packages = [type(error).__module__]
    if isinstance(error, ConnectionError):
        packages += [frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__)]
    engines = (ENGINES.get(package.partition(".")[0]) for package in packages)
    return next(filter(None, engines), None)


def _without_secrets(url: str) -> str:
    """Remove user, password and options, which may hold a password too."""
    kind, _, rest = url.partition("://")
    return f"{kind}://{rest.rpartition('@')[2].partition('?')[0]}"


def sql_literal(text: str) -> str:
    """Write a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def sql_identifier(name: str) -> str:
    """Write a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def sql_file_literal(file: Path) -> str:
    """Write a file's path as an SQL literal that DuckDB does not read as a glob pattern."""
    return sql_literal(escape(str(file)))


def read_parquet_sql(file: Path) -> str:
    """Write the SQL that reads a Parquet file."""
    return f"read_parquet({sql_file_literal(file)})"


def json_object_sql(columns: dict[str, str]) -> str:
    """Write the SQL of a JSON object; `columns` maps each key to the SQL of its value."""
    return "json_object(" + ", ".join(f"{sql_literal(key)}, {value}" for key, value in columns.items()) + ")::VARCHAR"


def sql_function(
    name: str, arguments: tuple[str, ...], returns: str, kind: Any = ibis.udf.scalar
) -> Callable[..., Any]:
    """Return a function of expressions that calls a function of the engine; types are names of Ibis types."""

    def stub() -> None:
        """Name the parameters."""

    parameters = [Parameter(f"argument{n}", Parameter.POSITIONAL_OR_KEYWORD) for n in range(len(arguments))]
    stub.__dict__["__signature__"] = Signature(parameters)
    function: Callable[..., Any] = kind.builtin(stub, name=name, signature=(arguments, returns))
    return function


def create_view(backend: "Backend", name: str, sql: str) -> ir.Table:
    """Create a view of a query, and return it as a table."""
    backend.con.execute(f"CREATE TEMP VIEW {sql_identifier(name)} AS {sql}")
    return backend.table(name)
