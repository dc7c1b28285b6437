"""Prometheus metrics of an application: its requests, and the champion and snapshot that answer them."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.middleware.access_log import RequestRecord
from serving.runtime.state import ServiceState
from serving.runtime.watcher import Watcher
from serving.runtime.worker_metrics import WorkerMetrics

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.1, 0.25, 1.0, 5.0, 20.0)


class Metrics:
    """The metrics of one application, in a registry of its own: applications in one process do not mix.

    Parameters
    ----------
    service : returns what the application answers from now
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
    yield _gauge("clout_ready", "1 where there is both a champion and a snapshot.", float(not missing))
    if "snapshot" not in missing:
        snapshot = service.snapshot()
        as_of = snapshot.as_of.timestamp()
        yield _gauge("clout_snapshot_as_of_seconds", "The snapshot's instant, Unix time.", as_of)
        yield _gauge("clout_snapshot_age_seconds", "Since the snapshot's instant.", time.time() - as_of)
        yield _gauge("clout_users", "Users in the snapshot.", snapshot.users)
        yield InfoMetricFamily("clout_snapshot", "The snapshot.", {"model_version": snapshot.model_version})
    if "champion" not in missing:
        yield InfoMetricFamily("clout_champion", "The champion.", {"model_version": service.champion.version})


def _of_parts(service: ServiceState, watcher: Watcher) -> Iterator[Metric]:
    stale = GaugeMetricFamily("clout_stale", "1 where a part could not be renewed.", labels=["part"])
    loads = CounterMetricFamily("clout_loads", "Loads of a champion or snapshot.", labels=["part", "result"])
    for part in watcher.parts:
        stale.add_metric([part.name], float(part.name in service.stale))
        loads.add_metric([part.name, "loaded"], part.loaded)
        loads.add_metric([part.name, "failed"], part.failed)
    yield from (stale, loads)


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(name, meaning, value)
