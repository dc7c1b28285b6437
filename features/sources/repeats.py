"""Repeats: files that overlap hold the same event again, which counts once."""

import ibis
import ibis.expr.types as ir

REPEATED = "the same event again"


def refuse_repeats(rows: ir.Table, key: tuple[str, ...]) -> ir.Table:
    """Give all but the first of the same events a reason.

    Parameters
    ----------
    rows : with `time`, `file`, `row` and `reason`; rows that have a reason already, or no time, are left alone
    key : the columns that are alike in the same events; nulls are alike

    Returns
    -------
    the same rows; of the same events the earliest stands

    """
    taken = rows.reason.isnull() & rows.time.notnull()
    place = ibis.row_number().over(
        group_by=[taken, *(rows[name] for name in key)], order_by=[rows.time, rows.file, rows.row]
    )
    return rows.mutate(reason=(taken & (place > 0)).ifelse(REPEATED, rows.reason))
