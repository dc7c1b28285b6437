"""Open the engines that compute features, by name or by URL; call their functions; quote names and texts for SQL."""

from collections.abc import Callable
from glob import escape
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.types as ir

from features.errors import EngineError, first_line
from features.events.event_table import connect

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend


SPARK = {
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.shuffle.partitions": "8",
    "spark.sql.maxPlanStringLength": "10000",  # the full text of a plan of many steps exceeds the heap
}


def open_engine(name: str) -> ibis.BaseBackend:
    """Open an engine.

    Parameters
    ----------
    name : `duckdb`, embedded; `spark`, the session of this process, or a local one where there is none; or the URL of
        any backend that Ibis knows, such as `postgres://user@host/database`

    Raises
    ------
    EngineError : the engine is unknown, a package for it is not installed, or it cannot be reached

    """
    if name == "duckdb":
        return connect()
    if name == "spark":
        return _spark()
    if "://" not in name:
        raise EngineError(
            f"{name!r} is not a valid engine; expected duckdb, spark, or a URL such as postgres://user@host/database."
        )
    try:
        return ibis.connect(name)
    except ModuleNotFoundError as error:
        kind = name.partition("://")[0]
        raise EngineError(f"{kind} needs a package: pip install 'ibis-framework[{kind}]' ({error}).") from error
    except Exception as error:
        raise EngineError(f"{_without_secrets(name)} cannot be reached: {first_line(error)}") from error


def _spark() -> ibis.BaseBackend:
    try:
        from pyspark.sql import SparkSession
    except ModuleNotFoundError as error:
        raise EngineError("Spark needs a package: pip install 'clout-score[spark]', and Java 17 or newer.") from error
    try:
        running = SparkSession.getActiveSession()
        builder: Any = SparkSession.builder.appName("clout")
        if running is None:
            builder = builder.master("local[*]").config(map=SPARK)
        return ibis.pyspark.connect(builder.getOrCreate())
    except Exception as error:
        raise EngineError(f"Spark cannot be started: {first_line(error)} It needs Java 17 or newer.") from error


def _without_secrets(url: str) -> str:
    """Remove a user and password, which must not be printed."""
    kind, _, rest = url.partition("://")
    return f"{kind}://{rest.rpartition('@')[2]}"


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
