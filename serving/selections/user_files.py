"""Files that name users: ids to include or exclude, and costs."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from features.errors import first_line
from features.events.user_tables import is_table, parse_file_id, read_user_table
from serving.selections.select import SelectionError


def read_users(path: Path) -> tuple[str, ...]:
    """Return the ids in a file: one per line, or the column `user` of a .csv, .tsv or .parquet file.

    Raises
    ------
    SelectionError : the file cannot be read, lacks the column, or holds an id that is not valid

    """
    if is_table(path):
        return tuple(read_user_table(path, ["user"], (), "users", SelectionError)["user"].to_pylist())
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SelectionError(f"{path} cannot be read as a list of users: {first_line(error)}.") from error
    return parse_users(lines, path)


def parse_users(lines: Sequence[str], source: Path | str) -> tuple[str, ...]:
    """Return the ids in lines, which may be empty.

    Raises
    ------
    SelectionError : an id is not valid; `source` names where it stands

    """
    named = ((f"user in line {number}", line) for number, line in enumerate(lines, 1) if line.strip())
    return tuple(parse_file_id(line, source, name, SelectionError) for name, line in named)


def read_costs(path: Path) -> dict[str, float]:
    """Return the cost of each user in a .csv, .tsv or .parquet file with the columns `user` and `cost`.

    Raises
    ------
    SelectionError : the file cannot be read, lacks a column, names a user twice, or holds a cost that is not a number

    """
    table = read_user_table(path, ["user"], ["cost"], "costs", SelectionError)
    return parse_costs(zip(table["user"].to_pylist(), table["cost"].to_pylist(), strict=True), path)


def parse_costs(rows: Iterable[tuple[str, Any]], source: Path | str) -> dict[str, float]:
    """Return the cost of each user from pairs of an id and a cost.

    Raises
    ------
    SelectionError : a user has two costs, or a cost is not a number; `source` names where it stands

    """
    costs: dict[str, float] = {}
    for number, (user, text) in enumerate(rows, 1):
        if user in costs:
            raise SelectionError(f"{source} names {user!r} twice; expected one cost per user.")
        try:
            costs[user] = float(text)
        except (TypeError, ValueError):
            raise SelectionError(
                f"{source}: the cost of {user!r}, in row {number}, is {text!r}; expected a number of 0 or more."
            ) from None
    return costs
