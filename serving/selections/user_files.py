"""Files that name users: ids to include or exclude, and costs."""

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from features.errors import first_line
from features.ids import parse_id
from serving.selections.select import SelectionError


def read_users(path: Path) -> tuple[str, ...]:
    """Return the ids in a file: one per line, or the column `user` of a .csv or .parquet file.

    Raises
    ------
    SelectionError : the file cannot be read, lacks the column, or holds an id that is not valid

    """
    if path.suffix in (".csv", ".parquet"):
        return tuple(_ids(_read_table(path, ["user"]), path))
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SelectionError(f"{path} cannot be read as a list of users: {first_line(error)}.") from error
    return tuple(_parse(line, path) for line in lines if line.strip())


def read_costs(path: Path) -> dict[str, float]:
    """Return the cost of each user in a .csv or .parquet file with the columns `user` and `cost`.

    Raises
    ------
    SelectionError : the file cannot be read, lacks a column, names a user twice, or holds a cost that is no number

    """
    table = _read_table(path, ["user", "cost"])
    costs: dict[str, float] = {}
    for number, (user, text) in enumerate(zip(_ids(table, path), table.column("cost").to_pylist(), strict=True), 1):
        if user in costs:
            raise SelectionError(f"{path} names {user!r} twice; expected one cost per user.")
        try:
            costs[user] = float(text)
        except (TypeError, ValueError):
            raise SelectionError(
                f"{path}: the cost of {user!r}, in row {number}, is {text!r}; expected a number of 0 or more."
            ) from None
    return costs


def _read_table(path: Path, columns: list[str]) -> pa.Table:
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path)
        else:
            as_text = pa_csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string()))
            table = pa_csv.read_csv(path, convert_options=as_text)
    except (OSError, pa.ArrowException) as error:
        raise SelectionError(f"{path} cannot be read as a table of users: {first_line(error)}.") from error
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise SelectionError(
            f"{path} lacks the column(s) {', '.join(missing)}; it has {', '.join(table.column_names)}. Expected "
            f"{' and '.join(columns)}."
        )
    return table.select(columns)


def _ids(table: pa.Table, path: Path) -> list[str]:
    return [_parse(user, path) for user in table.column("user").to_pylist()]


def _parse(user: object, path: Path) -> str:
    try:
        return parse_id(user)
    except ValueError as error:
        raise SelectionError(f"{path}: the user {user!r} {error}.") from error
