"""What stands before an application for people's rights: the audit log, and the purposes that it may demand."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI

from serving.privacy.audit_log import AuditLog
from serving.privacy.audit_middleware import AuditMetrics, AuditMiddleware
from serving.privacy.audit_segments import AuditError
from serving.privacy.cases import Cases
from training.home import Home
from training.records.database import Records


def install(app: FastAPI, home: Home, demand_purpose: bool) -> None:
    """Stand before an application, behind whatever is put before it later.

    Parameters
    ----------
    app : the application, which has its metrics already
    home : where the audit log and the cases are
    demand_purpose : whether requests about people have to say what for

    Raises
    ------
    RecordsError : the home's database is none

    """
    app.state.audit_log = AuditLog(home)
    app.state.cases = Cases(Records(home))
    app.state.demand_purpose = demand_purpose
    with suppress(AuditError):  # then readiness says so, and no request about people is answered
        app.state.audit_log.check()
    app.state.metrics.registry.register(AuditMetrics(app.state.audit_log))
    app.add_middleware(AuditMiddleware, audit_log=app.state.audit_log, demanded=demand_purpose)


def closing(lifespan: Callable) -> Callable:
    """Return a lifespan that ends the audit log when another one is over."""

    @asynccontextmanager
    async def audited(app: FastAPI) -> AsyncIterator[None]:
        async with lifespan(app):
            try:
                yield
            finally:
                app.state.audit_log.close()

    return audited
