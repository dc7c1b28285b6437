"""Metrics for Prometheus, of one application: its requests, and the champion and snapshot it answers from."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from serving.middleware.access_log import RequestRecord
from serving.runtime.state import ServiceState
from serving.runtime.watcher import Watcher
from serving.runtime.worker_metrics import WorkerMetrics

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.1, 0.25, 1.0, 5.0, 20.0)


class Metrics:
    """What is counted, in a registry of its own, so that several applications in one process do not mix.

    Parameters
    ----------
    service : tells what the application answers from now
    watcher : of the same application
    together : the folder of several workers, if it is one of them; then any of them tells of all

    Attributes
    ----------
    registry : of what this process tells of itself; more may be registered
    told : of what Prometheus is told

    """

    def __init__(self, service: Callable[[], ServiceState], watcher: Watcher, together: Path | None = None):
        self.registry = self.told = CollectorRegistry()
        counted = self.registry if together is None else None  # several workers count in files that they share
        self._requests = Counter(
            "clout_requests", "Requests answered.", ["route", "method", "status"], registry=counted
        )
        self._seconds = Histogram(
            "clout_request_seconds", "Time to answer.", ["route"], buckets=SECONDS, registry=counted
        )
        self.registry.register(_State(service, watcher))
        ProcessCollector(registry=self.registry)
        if together is not None:
            states = WorkerMetrics(self.registry, together)
            self.told = CollectorRegistry()
            self.told.register(states)
            MultiProcessCollector(self.told, str(together))
            states.tell()
            watcher.looked = states.tell

    def count(self, seen: RequestRecord) -> None:
        """Count a request; the labels are of the route's template, so that there are few."""
        self._requests.labels(seen.route, seen.method, str(seen.status)).inc()
        self._seconds.labels(seen.route).observe(seen.seconds)


class _State(Collector):
    """Reads the state when it is asked for, so that it is never out of date."""

    def __init__(self, service: Callable[[], ServiceState], watcher: Watcher):
        self._service, self._watcher = service, watcher

    def describe(self) -> list[Metric]:
        """Name nothing beforehand: there may be no service yet when this is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield what there is; what is missing has no gauge."""
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
