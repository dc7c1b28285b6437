"""Callers of a service under load: what they ask for, and how they see that an answer is right; for soak.py."""

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
    """Return the version that a renewal makes champion."""
    return str(1 + k % 2)


@dataclass
class Asked:
    """What there is to ask for, and what came of it; callers share it.

    Parameters
    ----------
    users : who is asked for
    rows : feature rows as posted
    published : instants of snapshots, oldest first, of which the last may be on its way
    left : how many requests are still to be made

    """

    users: list[str]
    rows: list[dict]
    published: list[str]
    left: int
    ended: bool = False
    done: int = 0
    took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failed: list[str] = field(default_factory=list)
    alone: threading.Lock = field(default_factory=threading.Lock)

    def next(self) -> bool:
        """Tell whether there is another request to make, and count it."""
        with self.alone:
            if self.left == 0 or self.ended:
                return False
            self.left -= 1
            return True

    def note(self, kind: str, seconds: float, error: str | None) -> None:
        """Keep what came of a request."""
        with self.alone:
            self.done += 1
            self.took[kind].append(seconds)
            self.failed += [f"{kind}: {error}"] if error else []


class Caller:
    """One who asks without a pause, over one connection, and sees that the answers are right.

    Parameters
    ----------
    asked : shared with other callers
    port : of the service on this machine
    seed : what is asked for

    """

    def __init__(self, asked: Asked, port: int, seed: int):
        self.asked, self.chosen = asked, random.Random(seed)
        self.connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self.seen, self.answered = "", 0.0
        self.cursor: str | None = None

    def work(self) -> None:
        """Ask until nothing is left to ask."""
        kinds, weights = list(MIX), list(MIX.values())
        while self.asked.next():
            (kind,) = self.chosen.choices(kinds, weights)
            start, error = time.perf_counter(), None
            try:
                getattr(self, kind.replace("-", "_"))()
            except (FailedError, OSError, HTTPException, ValueError, KeyError) as found:
                error = repr(found)
                self.connection.close()
            self.asked.note(kind, time.perf_counter() - start, error)

    def score(self) -> None:
        """Ask for the newest score, or for one of an older snapshot."""
        user, as_of = self._user(), self._instant() if self.chosen.random() < 0.2 else None
        found = self._get(f"{self._path(user)}/score{f'?as_of={as_of}' if as_of else ''}")
        _check(found["user"] == user and 0 <= found["score"] <= 100, "of another user")
        _check(as_of in (None, found["as_of"]), "of another instant")
        self._current(found, as_of)

    def explanation(self) -> None:
        """Ask for a ledger."""
        found = self._get(f"{self._path(self._user())}/explanation")
        total = found["base"] + sum(line["points"] for line in found["lines"])
        _check(abs(total - found["unclipped"]) < 1e-6, "does not add up")
        self._current(found)

    def history(self) -> None:
        """Ask for everything that is kept."""
        found = self._get(f"{self._path(self._user())}/history")
        instants = [point["as_of"] for point in found["points"]]
        _check(instants == sorted(instants) and not found["damaged"] and len(instants) >= 2, "instants in disorder")
        self._current(found["points"][-1], directly=False)

    def change(self) -> None:
        """Ask for the ledger of the newest change."""
        found = self._get(f"{self._path(self._user())}/change")
        moved = found["after"]["score"] - found["before"]["score"]
        _check(abs(sum(found["parts"].values()) - moved) < 1e-6, "does not add up")
        _check(found["before"]["as_of"] < found["after"]["as_of"], "runs backwards")
        self._current(found["after"])

    def what_if(self) -> None:
        """Ask what would change a score."""
        self._current(self._get(f"{self._path(self._user())}/what-if"))

    def ids(self) -> None:
        """Ask for a hundred users."""
        users = self.chosen.sample(self.asked.users, min(100, len(self.asked.users)))
        found = self._post({"ids": users})
        _check([each["user"] for each in found["scores"]] == users and not found["unknown"], "of other users")
        self._current(found)

    def rows(self) -> None:
        """Have ten rows scored."""
        found = self._post({"rows": self.chosen.sample(self.asked.rows, min(10, len(self.asked.rows)))})
        _check(found["model_version"] in ("1", "2") and len(found["scores"]) > 0, "by no version")

    def search(self) -> None:
        """Ask for the next page, of the snapshot that the first was of."""
        found = self._get(f"/v1/users?limit=20{f'&cursor={quote(self.cursor)}' if self.cursor else ''}")
        scores = [each["score"] for each in found["users"]]
        _check(scores == sorted(scores, reverse=True) and scores != [], "not in order")
        if self.cursor is None:
            self._current(found)
        self.cursor = found["next_cursor"] if self.chosen.random() < 0.8 else None

    def model(self) -> None:
        """Ask for the champion."""
        _check(self._get("/v1/model")["model_version"] in ("1", "2"), "no version")

    def catalogue(self) -> None:
        """Ask for the features."""
        _check(len(self._get("/v1/catalogue")["features"]) > 0, "no features")

    def health(self) -> None:
        """Ask whether it lives."""
        _check(self._get("/health") == {"status": "ok"}, "not well")

    def ready(self) -> None:
        """Ask whether it can answer, with all that is new."""
        found = self._get("/ready")
        _check(found["status"] == "ready" and not found["stale"], f"stale: {found['stale']}")

    def metrics(self) -> None:
        """Ask for its figures."""
        _check("clout_ready 1.0" in self.text("GET", "/metrics"), "not ready")

    def _current(self, found: dict, as_of: str | None = None, directly: bool = True) -> None:
        """See that an answer is of a snapshot that there is, and of none before one that was seen."""
        _check(found["as_of"] in self.asked.published, f"as of {found['as_of']}, which never was")
        place = self.asked.published.index(found["as_of"])
        _check(found["model_version"] == version_of(place), "by another version")
        if as_of is None and directly:
            _check(found["as_of"] >= self.seen, f"back from {self.seen} to {found['as_of']}")
            self.seen = found["as_of"]

    def _user(self) -> str:
        return self.chosen.choice(self.asked.users)

    def _instant(self) -> str:
        return self.chosen.choice(self.asked.published[:-1])

    @staticmethod
    def _path(user: str) -> str:
        return f"/v1/users/{quote(user, safe='')}"

    def _get(self, path: str) -> dict:
        return json.loads(self.text("GET", path))

    def _post(self, body: dict) -> dict:
        return json.loads(self.text("POST", "/v1/scores", json.dumps(body)))

    def text(self, method: str, path: str, body: str | None = None) -> str:
        """Ask, and return what was answered by 200.

        Raises
        ------
        FailedError : by something else

        """
        headers = {"Content-Type": "application/json"} if body else {}
        if time.monotonic() > self.answered + IDLE_SECONDS:  # else the service may close it while it is asked
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
