"""Spark's daemon of Python workers, with the packages that they use: workers are forked from it with them.

Spark starts it outside of the package `tests`, with this folder on its path.
"""

import gc
import sys
from contextlib import suppress

# Spark adds its packages as archives, which are compiled again in each process: those that pip installed come first.
sys.path.sort(key=lambda path: path.endswith(".zip"))
with suppress(ImportError):  # tests let executors lack the package
    import serving.spark_scoring  # noqa: F401

from pyspark.daemon import manager

gc.collect()
gc.freeze()  # workers collect after each task
manager()
