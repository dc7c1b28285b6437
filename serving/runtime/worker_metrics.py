"""Metrics of several workers as those of one service, through prometheus-client's multiprocess mode."""

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Literal

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

# How the service's value follows from its workers': the least, the sum (of counters too), else the largest.
MINIMUM = {"clout_ready", "clout_snapshot_as_of_seconds", "clout_users", "process_start_time_seconds"}
SUM = {
    "clout_audit_waiting_bytes",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
}


class WorkerMetrics(Collector):
    """The metrics of all workers that live.

    Counters and histograms that a worker increments are shared by themselves. The multiprocess mode does not support
    collectors that compute their samples when they are read, so each worker copies those to gauges: at every look for
    newer parts, and before it answers a scrape. What a worker reported of its own state ends with it.

    Parameters
    ----------
    own : the collectors of this process
    folder : that the workers share, as in PROMETHEUS_MULTIPROC_DIR

    """

    def __init__(self, own: CollectorRegistry, folder: Path):
        self._own, self._folder, self._lock = own, folder, Lock()
        self._gauge = cache(_gauge)
        self._infos: set[Gauge] = set()
        self._counters: set[str] = set()
        Gauge("clout_workers", "Processes that answer.", registry=None, multiprocess_mode="livesum").set(1)

    def describe(self) -> list[Metric]:
        """Name no metrics in advance."""
        return []

    def publish(self) -> None:
        """Copy the samples of this process to the shared folder."""
        with self._lock:
            infos = set()
            for family in self._own.collect():
                for sample in family.samples:
                    gauge = self._gauge(sample.name, family.documentation, family.type, tuple(sample.labels))
                    child = gauge.labels(**sample.labels) if sample.labels else gauge
                    child.set(sample.value)
                    if family.type == "counter":
                        self._counters.add(sample.name)
                    if family.type == "info":
                        infos.add(child)
            for gone in self._infos - infos:
                gone.set(0)
            self._infos = infos

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of all workers."""
        self.publish()
        remove_dead_workers(self._folder)
        for family in MultiProcessCollector(None, str(self._folder)).collect():
            if family.name in self._counters:
                family.name, family.type = family.name.removesuffix("_total"), "counter"
            if family.name.endswith("_info"):  # one of an earlier version has value 0
                family.samples = [sample for sample in family.samples if sample.value]
            yield family


def remove_dead_workers(folder: Path) -> None:
    """Remove the gauges of processes that ended; the requests that they answered stay counted."""
    for pid in {int(file.stem.rpartition("_")[2]) for file in folder.glob("gauge_live*.db")}:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid, str(folder))
        except PermissionError:
            continue


def _gauge(name: str, documentation: str, family_type: str, labels: tuple[str, ...]) -> Gauge:
    return Gauge(name, documentation, labels, registry=None, multiprocess_mode=_mode(name, family_type))


def _mode(name: str, family_type: str) -> Literal["livemin", "livemax", "livesum"]:
    if family_type == "counter" or name in SUM:
        return "livesum"
    return "livemin" if name in MINIMUM else "livemax"
