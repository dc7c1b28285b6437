"""Points: everybody's ledger in one table."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import OutputError
from features.table import KEYS
from serving.snapshots.files import written_aside
from training.bundle import Bundle
from training.explanation import base_points, contributions

ROWS_AT_ONCE = 65_536


def write_points(bundle: Bundle, rows: pd.DataFrame, out: Path) -> None:
    """Write the points of every feature for every row as one Parquet file, which appears whole or not at all.

    Parameters
    ----------
    bundle : the model
    rows : user, scope and one column per feature, at least one row
    out : the file: user, scope, base, one column per feature, unclipped and score, with
        `base + sum(features) = unclipped` within 1e-6 and `clip(unclipped, 0, 100) = score`

    Raises
    ------
    OutputError : a folder is there, or the disk refuses
    CatalogueError : a feature is missing or not a number

    """
    if out.is_dir():
        raise OutputError(f"{out} is a folder; expected the name of a Parquet file for the points.")
    tables = (_table(bundle, rows.iloc[start : start + ROWS_AT_ONCE]) for start in range(0, len(rows), ROWS_AT_ONCE))
    first = next(tables)
    with written_aside(out) as file, pq.ParquetWriter(file, first.schema, compression="zstd") as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def _table(bundle: Bundle, rows: pd.DataFrame) -> pa.Table:
    margin = bundle.margin(bundle.matrix(rows))
    base = pd.Series(np.full(len(rows), base_points(bundle)), index=rows.index, name="base")
    told = {"unclipped": bundle.scale.unclipped(margin), "score": bundle.scale.points(margin)}
    frame = pd.concat([rows[KEYS], base, contributions(bundle, rows)], axis=1).assign(**told)
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
