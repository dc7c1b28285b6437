"""Tables that name users: accounts of one person, users to include or exclude, costs."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from features.errors import CloutError, first_line
from features.ids import parse_id

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
DELIMITERS = (",", ";", "\t", "|")


def is_table(path: Path) -> bool:
    """Return whether a file is a table by its name; other files hold one id per line."""
    return path.suffix.lower() in TABLE_SUFFIXES


def read_user_table(
    path: Path, ids: Sequence[str], others: Sequence[str], content: str, error: type[CloutError]
) -> pa.Table:
    """Read columns of a .parquet file, or of delimited text with a header in UTF-8.

    Parameters
    ----------
    path : the delimiter of text is the one of `,;|` and tab that is most frequent in the header
    ids, others : names of the columns that hold ids, and of further columns
    content : what the table holds, for messages, such as identities
    error : the class of the errors to raise

    Returns
    -------
    one column per name, ids as text by the rules of `features.ids`, other columns of .csv as text

    Raises
    ------
    CloutError : of the class `error`; the file cannot be read, lacks a column, or has a row without a valid id

    """
    columns = [*ids, *others]
    try:
        table = pq.read_table(path) if path.suffix.lower() == ".parquet" else _read_text(path, columns)
    except (OSError, UnicodeDecodeError, pa.ArrowException) as cause:
        raise error(f"{path} cannot be read as a table of {content}: {first_line(cause)}.") from cause
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        present = ", ".join(table.column_names) or "no columns"
        raise error(f"{path} lacks the column(s) {', '.join(missing)}; it has {present}. Expected {_list(columns)}.")
    for name in ids:
        texts = [parse_file_id(value, path, f"{name} in row {row}", error) for row, value in enumerate(table[name], 1)]
        table = table.set_column(table.column_names.index(name), name, pa.array(texts, pa.string()))
    return table.select(columns)


def parse_file_id(value: object, path: Path | str, name: str, error: type[CloutError]) -> str:
    """Read one id of a file or another source, named by `name` in messages.

    Raises
    ------
    CloutError : of the class `error`; the value is not an id

    """
    value = value.as_py() if isinstance(value, pa.Scalar) else value
    try:
        text = "" if value is None else parse_id(value)
    except ValueError as cause:
        raise error(f"{path}: the {name}, {value!r}, {cause}.") from cause
    if not text:
        raise error(f"{path}: the {name} is empty; expected an id in each row.")
    return text


def _read_text(path: Path, columns: Sequence[str]) -> pa.Table:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        header = lines.readline()
    return pa_csv.read_csv(
        path,
        parse_options=pa_csv.ParseOptions(delimiter=max(DELIMITERS, key=header.count), newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string())),
    )


def _list(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
