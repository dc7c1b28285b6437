"""Metrics of an audit log, for Prometheus."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.rights.audit_log import AuditLog


class AuditMetrics(Collector):
    """Reads the state of an audit log when it is asked for."""

    def __init__(self, audit_log: AuditLog):
        self._log = audit_log

    def collect(self) -> Iterator[Metric]:
        """Yield how much was written, and what waits because the disk refuses."""
        held = self._log
        yield CounterMetricFamily("clout_audit_lines", "Lines of the audit log made by this process.", held.lines)
        yield CounterMetricFamily("clout_audit_failures", "Attempts to write the audit log that failed.", held.failed)
        yield GaugeMetricFamily("clout_audit_waiting_bytes", "Lines that the disk refused so far.", held.waiting)
        failing = float(held.failure is not None)
        yield GaugeMetricFamily("clout_audit_failing", "1 where the audit log cannot be written.", failing)
