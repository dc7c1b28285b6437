"""Metrics, for Prometheus to scrape."""

from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from serving.access.guard import READ
from serving.problems import problems

router = APIRouter(tags=["health"], dependencies=[READ])
EXAMPLE = 'clout_requests_total{route="/v1/users/{user}/score",method="GET",status="200"} 1024.0\n'
TEXT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Requests, the champion and the snapshot, in Prometheus's text format",
        "content": {"text/plain": {"schema": {"type": "string"}, "example": EXAMPLE}},
    }
}


@router.get("/metrics", response_class=Response, responses=TEXT | problems())
def metrics(request: Request) -> Response:
    """Return the counts of requests by route, how long they took, and the state of the champion and the snapshot."""
    return Response(generate_latest(request.app.state.metrics.told), media_type=CONTENT_TYPE_LATEST)
