"""The original of a row: what tells it from others, kept where it is rejected; texts of people are left out."""

import ibis
import ibis.expr.types as ir


def original(rows: ir.Table, fields: dict[str, str], files: tuple[str, ...]) -> ir.StringValue:
    """Write the record of each row.

    Parameters
    ----------
    rows : with `file`, a number, and `record`, the line where it is malformed
    fields : for each name in the record the column that holds its value
    files : the names of the files, which go before the records where there is more than one

    """
    told = ibis.struct({name: rows[column] for name, column in fields.items()}).cast("json").cast("string")
    record = ibis.coalesce(rows.record, told)
    if len(files) < 2:
        return record
    return rows.file.cases(*((number, f"{name} ") for number, name in enumerate(files))) + record
