"""Parquet files."""

from pathlib import Path

from duckdb import Error as DuckDBError
from ibis.backends.duckdb import Backend

from features.errors import EventsError
from features.sources.opened import Opened
from features.sources.quoting import file_literal, identifier, record, view


def open_parquet(backend: Backend, file: Path, scratch: Path) -> Opened:
    """Open a Parquet file; its columns keep their types.

    Raises
    ------
    EventsError : it is no Parquet

    """
    source = f"read_parquet({file_literal(file)}, file_row_number = true)"
    try:
        found = backend.con.execute(f"DESCRIBE SELECT * EXCLUDE file_row_number FROM {source}").fetchall()
    except DuckDBError as error:
        raise EventsError(f"{file} cannot be read as Parquet: {str(error).splitlines()[0]}") from error

    def sql(chosen: dict[str, str]) -> str:
        fields = ", ".join(f"{identifier(name)} AS {identifier(field)}" for field, name in chosen.items())
        original = record({name: identifier(name) for name in chosen.values()})
        return (
            f"SELECT file_row_number + 1 AS row, {fields}, {original} AS record, NULL::VARCHAR AS reason FROM {source}"
        )

    return Opened([name for name, *_ in found], lambda chosen: view(backend, scratch.stem, sql(chosen)))
