"""Prometheus metrics: requests, and the champion and snapshot that answer them, of one process or of all workers."""

import os
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, multiprocess
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from serving.middleware.access_log import RequestRecord
from serving.runtime.state import ServiceState
from serving.runtime.watcher import Watcher

UNTYPED: Any = multiprocess  # it has no annotations
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.1, 0.25, 1.0, 5.0, 20.0)
# How the values of workers are combined: the minimum, the sum (also of counters), otherwise the maximum.
MINIMUM = {"clout_ready", "clout_snapshot_as_of_seconds", "clout_users", "process_start_time_seconds"}
MEMORY = {"process_resident_memory_bytes", "process_virtual_memory_bytes"}
SUM = {"clout_audit_waiting_bytes", "process_open_fds", *MEMORY}


class Metrics:
    """The metrics of one application, in a registry of its own: applications in one process do not mix.

    Parameters
    ----------
    service : returns the application's current state
    watcher : of the same application
    shared_folder : of several workers, if this is one of them; each then reports for all of them

    Attributes
    ----------
    registry : the metrics of this process; more may be registered
    exposed : the metrics that Prometheus scrapes

    """

    def __init__(self, service: Callable[[], ServiceState], watcher: Watcher, shared_folder: Path | None = None):
        self.registry = self.exposed = CollectorRegistry()
        registry = self.registry if shared_folder is None else None  # workers count in files of the shared folder
        self._requests = Counter(
            "clout_requests", "Requests answered.", ["route", "method", "status"], registry=registry
        )
        self._seconds = Histogram(
            "clout_request_seconds", "Time to answer.", ["route"], buckets=SECONDS, registry=registry
        )
        self.registry.register(_State(service, watcher))
        ProcessCollector(registry=self.registry)
        if shared_folder is not None:
            workers = WorkerMetrics(self.registry, shared_folder)
            self.exposed = CollectorRegistry()
            self.exposed.register(workers)
            workers.publish()
            watcher.looked = workers.publish

    def count(self, record: RequestRecord) -> None:
        """Count a request, labelled with the route's template, of which there are few."""
        self._requests.labels(record.route, record.method, str(record.status)).inc()
        self._seconds.labels(record.route).observe(record.seconds)


class _State(Collector):
    """Reads the state when it is scraped."""

    def __init__(self, service: Callable[[], ServiceState], watcher: Watcher):
        self._service, self._watcher = service, watcher

    def describe(self) -> list[Metric]:
        """Name no metrics in advance: there may be no service yet at registration."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the state; missing parts have no gauge."""
        service = self._service()
        yield from _of_service(service)
        yield from _of_parts(service, self._watcher)


def _of_service(service: ServiceState) -> Iterator[Metric]:
    missing = service.missing
    yield GaugeMetricFamily("clout_ready", "1 where there is both a champion and a snapshot.", float(not missing))
    if "snapshot" not in missing:
        snapshot = service.snapshot()
        as_of = snapshot.as_of.timestamp()
        yield GaugeMetricFamily("clout_snapshot_as_of_seconds", "The snapshot's instant, Unix time.", as_of)
        yield GaugeMetricFamily("clout_snapshot_age_seconds", "Age of the snapshot in seconds.", time.time() - as_of)
        yield GaugeMetricFamily("clout_users", "Users in the snapshot.", snapshot.users)
        yield InfoMetricFamily("clout_snapshot", "The snapshot.", {"model_version": snapshot.model_version})
    if "champion" not in missing:
        yield InfoMetricFamily("clout_champion", "The champion.", {"model_version": service.champion.version})


def _of_parts(service: ServiceState, watcher: Watcher) -> Iterator[Metric]:
    stale = GaugeMetricFamily("clout_stale", "1 where a part is outdated.", labels=["part"])
    loads = CounterMetricFamily("clout_loads", "Loads of a champion or snapshot.", labels=["part", "result"])
    for part in watcher.parts:
        stale.add_metric([part.name], float(part.name in service.stale))
        loads.add_metric([part.name, "loaded"], part.loaded)
        loads.add_metric([part.name, "failed"], part.failed)
    yield from (stale, loads)


class WorkerMetrics(Collector):
    """The metrics of all workers that live, through prometheus-client's multiprocess mode.

    Counters and histograms that a worker increments are shared by themselves. The multiprocess mode does not support
    collectors that compute their samples when they are read, so each worker copies those to gauges: at every check for
    newer parts, and before it answers a scrape. The gauges of a worker's own state are removed when it ends.

    Parameters
    ----------
    own : the collectors of this process
    folder : that the workers share, as in PROMETHEUS_MULTIPROC_DIR

    """

    def __init__(self, own: CollectorRegistry, folder: Path):
        self._own, self._folder, self._lock = own, folder, Lock()
        self._gauge = cache(_worker_gauge)
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
                    child = self._copy(sample, family)
                    if family.type == "counter":
                        self._counters.add(sample.name)
                    if family.type == "info":
                        infos.add(child)
            for gone in self._infos - infos:
                gone.set(0)
            self._infos = infos

    def _copy(self, sample: Sample, family: Metric) -> Gauge:
        gauge = self._gauge(sample.name, family.documentation, family.type, tuple(sample.labels))
        child = gauge.labels(**sample.labels) if sample.labels else gauge
        child.set(sample.value)
        return child

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of all workers."""
        self.publish()
        remove_dead_workers(self._folder)
        for family in UNTYPED.MultiProcessCollector(None, str(self._folder)).collect():
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
            UNTYPED.mark_process_dead(pid, str(folder))
        except PermissionError:
            continue


def _worker_gauge(name: str, documentation: str, family_type: str, labels: tuple[str, ...]) -> Gauge:
    return Gauge(name, documentation, labels, registry=None, multiprocess_mode=_mode(name, family_type))


def _mode(name: str, family_type: str) -> Literal["livemin", "livemax", "livesum"]:
    if family_type == "counter" or name in SUM:
        return "livesum"
    return "livemin" if name in MINIMUM else "livemax"
