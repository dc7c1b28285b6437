"""Middleware that logs every request about users, and the metrics of the audit log."""

from collections.abc import Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from features.utc import to_iso_utc
from serving.middleware.access_log import NO_ROUTE, method_label, route_label
from serving.middleware.problem_details import problem_response
from serving.middleware.request_context import ANYBODY, CALLER, NOTES, RequestNotes, about_people
from serving.privacy.audit_files import AuditError
from serving.privacy.audit_log import AuditLog


class MissingUsersError(Exception):
    """A route answered about users, but neither its path nor its notes name them."""


class AuditMiddleware:
    """Write a line of the audit log for every request to a route about users, before the response is sent."""

    def __init__(self, app: ASGIApp, audit_log: AuditLog):
        self._app, self._log = app, audit_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 503 if nothing can be logged."""
        if scope["type"] != "http" or not about_people(scope["path"]):
            return await self._app(scope, receive, send)
        try:
            self._log.check()
        except AuditError as error:
            detail = f"requests that cannot be logged are not answered: {error}"
            return await problem_response(scope, 503, detail, "no-audit-log")(scope, receive, send)
        notes = scope[NOTES] = RequestNotes()
        logged = False

        async def send_logged(message: Message) -> None:
            nonlocal logged
            if message["type"] == "http.response.start" and not logged:
                self._write(scope, notes, message["status"])
                logged = True
            await send(message)

        try:
            return await self._app(scope, receive, send_logged)
        except BaseException:
            if not logged:
                self._write(scope, notes, 500)
            raise

    def _write(self, scope: Scope, notes: RequestNotes, status: int) -> None:
        route = route_label(scope)
        if route == NO_ROUTE:  # there is nothing to read at this path
            return
        users = [scope["path_params"]["user"]] if "user" in scope["path_params"] else []
        if not users and notes.about is None and status < 300:
            raise MissingUsersError(
                f"{route} does not name the users that its answer is about: call "
                "serving.middleware.request_context.record_users."
            )
        self._log.write(_entry(scope, notes, route, status), [*users, *(notes.about or ())])


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
    if status < 300 and notes.service is not None and notes.service.served:
        entry["as_of"], entry["model_version"] = notes.service.served
    return entry


class AuditMetrics(Collector):
    """Reports the state of an audit log to Prometheus."""

    def __init__(self, audit_log: AuditLog):
        self._log = audit_log

    def collect(self) -> Iterator[Metric]:
        """Yield the numbers of lines and of failed writes, the bytes that are pending, and whether writing fails."""
        audit = self._log
        yield CounterMetricFamily("clout_audit_lines", "Lines of the audit log made by this process.", audit.lines)
        yield CounterMetricFamily(
            "clout_audit_failures", "Attempts to write the audit log that failed.", audit.failures
        )
        yield GaugeMetricFamily("clout_audit_waiting_bytes", "Bytes that are not written yet.", audit.pending_bytes)
        failing = float(audit.failure is not None)
        yield GaugeMetricFamily("clout_audit_failing", "1 where the audit log cannot be written.", failing)
