"""The metrics of several workers as those of one service: whichever is asked tells of all."""

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from threading import Lock

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

# Of what is no count, the service has the least or the sum of what its workers have, else the most.
LEAST = {"clout_ready", "clout_snapshot_as_of_seconds", "clout_users", "process_start_time_seconds"}
SUM = {
    "clout_audit_waiting_bytes",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
}
SUFFIX = ".state"


class WorkerMetrics(Collector):
    """The states of all workers.

    Each writes its own to the folder at every look for what is newer; who is asked does so at once, and reads the
    others'. So no count that was told is ever told smaller, but where a worker died: what it loaded is forgotten.

    Parameters
    ----------
    own : what this process tells of itself
    folder : that the workers share

    """

    def __init__(self, own: CollectorRegistry, folder: Path):
        self._own, self._folder, self._alone = own, folder, Lock()

    def describe(self) -> list[Metric]:
        """Name nothing beforehand."""
        return []

    def tell(self) -> None:
        """Write down how this process is."""
        file = self._folder / f"{os.getpid()}{SUFFIX}"
        aside = file.with_suffix(".aside")
        with self._alone:
            aside.write_bytes(generate_latest(self._own))
            aside.replace(file)

    def collect(self) -> Iterator[Metric]:
        """Yield what the workers are together, and how many they are."""
        self.tell()
        told = [text_string_to_metric_families(text) for text in self._texts()]
        yield GaugeMetricFamily("clout_workers", "Processes that answer.", len(told))
        yield from merged(chain.from_iterable(told))

    def _texts(self) -> list[str]:
        texts = []
        for file in sorted(self._folder.glob(f"*{SUFFIX}")):
            try:
                texts.append(file.read_text())
            except FileNotFoundError:  # it died, and was forgotten, since the folder was listed
                continue
        return texts


def merged(families: Iterator[Metric]) -> list[Metric]:
    """Put families of several processes together, one of each name."""
    found: dict[str, tuple[Metric, dict]] = {}
    for family in families:
        metric = Metric(family.name, family.documentation, family.type)
        _, samples = found.setdefault(family.name, (metric, {}))
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            before = samples.get(key)
            samples[key] = sample.value if before is None else _together(family, before, sample.value)
    for metric, samples in found.values():
        for (name, labels), value in samples.items():
            metric.add_sample(name, dict(labels), value)
    return [metric for metric, _ in found.values()]


def forget(folder: Path, pid: int | None) -> None:
    """Remove what a process that died said of itself; the requests that it answered stay counted."""
    (folder / f"{pid}{SUFFIX}").unlink(missing_ok=True)


def _together(family: Metric, one: float, other: float) -> float:
    if family.type == "counter" or family.name in SUM:
        return one + other
    return min(one, other) if family.name in LEAST else max(one, other)
