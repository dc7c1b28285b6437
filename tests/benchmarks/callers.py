"""Clients that put load on a service and check its answers; used by soak.py."""

import json
import random
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from urllib.parse import quote

PATIENCE = 60.0
IDLE_SECONDS = 3.0
MIX = {
    "score": 30, "explanation": 10, "history": 8, "change": 1, "what-if": 2, "ids": 8, "rows": 8, "search": 14,
    "model": 5, "catalogue": 4, "health": 4, "ready": 3, "metrics": 3,
}  # fmt: skip


class FailedError(Exception):
    """A request failed."""


def version_of(k: int) -> str:
    """Return the model version that update number k promotes to champion."""
    return str(1 + k % 2)


@dataclass
class Work:
    """The requests to make and their results, shared by all callers.

    Parameters
    ----------
    users : ids to request
    rows : feature rows to post
    published : as_of of all snapshots, oldest first; the last one may still be in publication
    remaining : number of requests still to make

    """

    users: list[str]
    rows: list[dict]
    published: list[str]
    remaining: int
    ended: bool = False
    done: int = 0
    took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failed: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self) -> bool:
        """Count down one request; return False if none is left or the run was stopped."""
        with self.lock:
            if self.remaining == 0 or self.ended:
                return False
            self.remaining -= 1
            return True

    def record(self, kind: str, seconds: float, error: str | None) -> None:
        """Record the duration and the error of a request."""
        with self.lock:
            self.done += 1
            self.took[kind].append(seconds)
            self.failed += [f"{kind}: {error}"] if error else []


class Caller:
    """A client that sends requests without a pause over one connection and checks the answers.

    Parameters
    ----------
    work : shared with the other callers
    port : the port of the service on this machine
    seed : seed of the choice of requests

    """

    def __init__(self, work: Work, port: int, seed: int):
        self.shared, self.chosen = work, random.Random(seed)
        self.connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self.newest, self.answered = "", 0.0
        self.cursor: str | None = None

    def work(self) -> None:
        """Send requests until none is left."""
        kinds, weights = list(MIX), list(MIX.values())
        while self.shared.next():
            (kind,) = self.chosen.choices(kinds, weights)
            start, error = time.perf_counter(), None
            try:
                getattr(self, kind.replace("-", "_"))()
            except (FailedError, OSError, HTTPException, ValueError, KeyError) as body:
                error = repr(body)
                self.connection.close()
            self.shared.record(kind, time.perf_counter() - start, error)

    def score(self) -> None:
        """Request the newest score or, for one in five, that of an older snapshot."""
        user, as_of = self._user(), self._instant() if self.chosen.random() < 0.2 else None
        body = self._get(f"{self._path(user)}/score{f'?as_of={as_of}' if as_of else ''}")
        _check(body["user"] == user and 0 <= body["score"] <= 100, "of another user")
        _check(as_of in (None, body["as_of"]), "of another instant")
        self._current(body, as_of)

    def explanation(self) -> None:
        """Request an explanation and check that its points add up."""
        body = self._get(f"{self._path(self._user())}/explanation")
        total = body["base"] + sum(line["points"] for line in body["lines"])
        _check(abs(total - body["unclipped"]) < 1e-6, "does not add up")
        self._current(body)

    def history(self) -> None:
        """Request all scores of a user and check their order."""
        body = self._get(f"{self._path(self._user())}/history")
        instants = [point["as_of"] for point in body["scores"]]
        _check(instants == sorted(instants) and not body["damaged"] and len(instants) >= 2, "instants in disorder")
        self._current(body["scores"][-1], directly=False)

    def change(self) -> None:
        """Request the newest score change and check that its parts add up."""
        body = self._get(f"{self._path(self._user())}/change")
        moved = body["after"]["score"] - body["before"]["score"]
        _check(abs(sum(body["parts"].values()) - moved) < 1e-6, "does not add up")
        _check(body["before"]["as_of"] < body["after"]["as_of"], "runs backwards")
        self._current(body["after"])

    def what_if(self) -> None:
        """Request the changes that would raise or lower a score."""
        self._current(self._get(f"{self._path(self._user())}/what-if"))

    def ids(self) -> None:
        """Request the scores of a hundred users."""
        users = self.chosen.sample(self.shared.users, min(100, len(self.shared.users)))
        body = self._post({"users": users})
        _check([score["user"] for score in body["users"]] == users and not body["unknown"], "of other users")
        self._current(body)

    def rows(self) -> None:
        """Post ten feature rows to be scored."""
        body = self._post({"rows": self.chosen.sample(self.shared.rows, min(10, len(self.shared.rows)))})
        _check(body["model_version"] in ("1", "2") and len(body["scores"]) > 0, "by no version")

    def search(self) -> None:
        """Request the next page of a search; a cursor stays on the snapshot of the first page."""
        body = self._get(f"/v1/users?limit=20{f'&cursor={quote(self.cursor)}' if self.cursor else ''}")
        scores = [score["score"] for score in body["users"]]
        _check(scores == sorted(scores, reverse=True) and scores != [], "not in order")
        if self.cursor is None:
            self._current(body)
        self.cursor = body["next_cursor"] if self.chosen.random() < 0.8 else None

    def model(self) -> None:
        """Request the champion."""
        _check(self._get("/v1/model")["model_version"] in ("1", "2"), "no version")

    def catalogue(self) -> None:
        """Request the feature catalogue."""
        _check(len(self._get("/v1/catalogue")["features"]) > 0, "no features")

    def health(self) -> None:
        """Request the liveness check."""
        _check(self._get("/health") == {"status": "ok"}, "not well")

    def ready(self) -> None:
        """Check that the service is ready and nothing is stale."""
        body = self._get("/ready")
        _check(body["status"] == "ready" and not body["stale"], f"stale: {body['stale']}")

    def metrics(self) -> None:
        """Request the metrics."""
        _check("clout_ready 1.0" in self.text("GET", "/metrics"), "not ready")

    def _current(self, body: dict, as_of: str | None = None, directly: bool = True) -> None:
        """Check that the answer is from a published snapshot and not older than a previous answer."""
        _check(body["as_of"] in self.shared.published, f"as of {body['as_of']}, which was never published")
        number = self.shared.published.index(body["as_of"])
        _check(body["model_version"] == version_of(number), "by another version")
        if as_of is None and directly:
            _check(body["as_of"] >= self.newest, f"back from {self.newest} to {body['as_of']}")
            self.newest = body["as_of"]

    def _user(self) -> str:
        return self.chosen.choice(self.shared.users)

    def _instant(self) -> str:
        return self.chosen.choice(self.shared.published[:-1])

    @staticmethod
    def _path(user: str) -> str:
        return f"/v1/users/{quote(user, safe='')}"

    def _get(self, path: str) -> dict:
        return json.loads(self.text("GET", path))

    def _post(self, body: dict) -> dict:
        return json.loads(self.text("POST", "/v1/scores", json.dumps(body)))

    def text(self, method: str, path: str, body: str | None = None) -> str:
        """Send a request and return the body of the answer.

        Raises
        ------
        FailedError : the status is not 200

        """
        headers = {"Content-Type": "application/json"} if body else {}
        if time.monotonic() > self.answered + IDLE_SECONDS:  # the service may have closed the idle connection
            self.connection.close()
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        text = answer.read().decode()
        self.answered = time.monotonic()
        _check(answer.status == 200, f"{answer.status} {text[:300]}")
        return text


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise FailedError(otherwise)
