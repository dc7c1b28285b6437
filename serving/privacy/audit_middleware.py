"""Every request about people in the audit log: the one place that all of them pass, behind the guard.

Metrics of an audit log, for Prometheus.
"""

from collections.abc import Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from features.utc import to_iso_utc
from serving.middleware.access_log import NO_ROUTE, method_label, route_label
from serving.middleware.problem_details import refusal
from serving.middleware.request_context import ANYBODY, CALLER, NOTES, RequestNotes, about_people
from serving.privacy.audit_log import AuditLog
from serving.privacy.audit_segments import AuditError


class UnnotedError(Exception):
    """A route answered about people, and neither its path nor its notes say about whom."""


class AuditMiddleware:
    """Write a line of the audit log for every request that a route about people answers, before the answer leaves.

    Parameters
    ----------
    app : what answers
    audit_log : where to
    demanded : whether requests about people have to say a purpose

    """

    def __init__(self, app: ASGIApp, audit_log: AuditLog, demanded: bool):
        self._app, self._log, self._demanded = app, audit_log, demanded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 503 where nothing can be logged."""
        if scope["type"] != "http" or not about_people(scope["path"]):
            return await self._app(scope, receive, send)
        try:
            self._log.check()
        except AuditError as error:
            detail = f"what is not logged is not answered: {error}"
            return await refusal(scope, 503, detail, kind="no-audit-log")(scope, receive, send)
        notes = scope[NOTES] = RequestNotes(self._demanded)
        written = False

        async def sent(message: Message) -> None:
            nonlocal written
            if message["type"] == "http.response.start" and not written:
                self._write(scope, notes, message["status"])
                written = True
            await send(message)

        try:
            return await self._app(scope, receive, sent)
        except BaseException:
            if not written:
                self._write(scope, notes, 500)
            raise

    def _write(self, scope: Scope, notes: RequestNotes, status: int) -> None:
        route = route_label(scope)
        if route == NO_ROUTE:  # nothing is there, so that nobody was read about
            return
        user = scope["path_params"].get("user")
        named = [] if user is None else [user]
        if not named and notes.about is None and status < 300:
            raise UnnotedError(
                f"{route} does not say whom its answer is about: see serving.middleware.request_context.note_about."
            )
        self._log.write(_entry(scope, notes, route, status), [*named, *(notes.about or ())])


def _entry(scope: Scope, notes: RequestNotes, route: str, status: int) -> dict[str, Any]:
    caller = scope.get(CALLER) or ANYBODY
    entry: dict[str, Any] = {
        "request_id": scope["state"].get("request_id"),
        "method": method_label(scope),
        "route": route,
        "status": status,
        "key": caller.id,
        "name": caller.name,
    }
    for name in ("purpose", "refused"):
        if getattr(notes, name) is not None:
            entry[name] = getattr(notes, name)
    if notes.instants:
        entry["instants"] = {name: to_iso_utc(at) for name, at in notes.instants.items()}
    if notes.service is not None and status < 300:
        newest = notes.service.newest
        entry |= {"as_of": newest[0], "model_version": newest[1]} if newest else {}
    return entry


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
