"""Keys: ids as 64-bit numbers, which group and join several times faster than text.

DuckDB and Spark have a fast hash each; elsewhere an id is its own key. Two people who share a key would be counted as
one, so people's keys are checked to differ (`acts.check_keys`); 1 million people collide with a probability of 3e-8.
Pieces and contents are told apart only within one person's own, where 1 million of them collide with the same
probability and nothing is checked.
"""

import ibis
import ibis.expr.types as ir


@ibis.udf.scalar.builtin(name="hash", signature=(("string",), "uint64"))
def _duckdb(text: ir.StringValue) -> ir.IntegerValue:
    """Name DuckDB's hash."""


@ibis.udf.scalar.builtin(name="xxhash64", signature=(("string",), "int64"))
def _spark(text: ir.StringValue) -> ir.IntegerValue:
    """Name Spark's hash."""


HASHES = {"duckdb": _duckdb, "pyspark": _spark}


def key(engine: str, text: ir.StringValue) -> ir.Value:
    """Return the key of an id, null for none."""
    hashed = HASHES.get(engine)
    return text if hashed is None else text.notnull().ifelse(hashed(text), None)
