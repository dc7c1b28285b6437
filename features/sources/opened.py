"""An opened file: what columns it has, and how to get some of them."""

from collections.abc import Callable
from dataclasses import dataclass

import ibis.expr.types as ir


@dataclass(frozen=True)
class Opened:
    """A file of any format.

    `select` takes for each field the column that holds it and returns a table with a column a field, `row` (the
    record's number in the file, from 1), `record` (the chosen columns as JSON, or the line where it doesn't parse) and
    `reason` (null, or what is wrong with the line).
    """

    columns: list[str]
    select: Callable[[dict[str, str]], ir.Table]
