"""Examples of responses for OpenAPI: one user's, by a model whose score is `4 + 12 ln(expected audience)`."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from features.catalogue import CATALOGUE, SCORED
from serving.privacy.cases import EXAMPLE_CASE
from serving.privacy.purposes import DEFAULT_PURPOSES, HEADER, MAX_LENGTH
from serving.review.what_if import OWN
from serving.selections.select import THEOREMS
from serving.snapshots.cursor import Cursor, encode_cursor
from serving.snapshots.facts import Fact, FactRow, label
from serving.snapshots.query import PageToken, SearchQuery
from serving.snapshots.story import (
    TITLES,
    Topic,
    describe_certainty,
    describe_expectation,
    describe_factor,
    rank,
    standing,
    start,
)
from training.explanation.possible_changes import ASSOCIATION, COUNTS, possible_changes
from training.explanation.reasons import describe_evidence
from training.model.baseline import Baseline
from training.model.intervals import Interval
from training.model.scale import Scale
from training.prohibited_uses import PROHIBITED_USES
from training.selection.coverage import GREEDY

USER = {"user": "ann", "scope": "all"}
NEWEST = {"as_of": "2017-07-30T00:00:00Z", "model_version": "3"}
EARLIER = {"as_of": "2017-07-02T00:00:00Z", "model_version": "3"}
INTERVAL = {"low": 24, "high": 66, "level": 0.9}
RANK = {"released": True, "percentile": 97.5, "peer_percentile": 61.0, "evidence": "strong", "status": "scored"}
NEWEST_SCORE = {"horizon_days": 28, "score": 48.71, "expected_audience": 41.5, "interval": INTERVAL, **RANK}
EARLIER_SCORE = {
    "horizon_days": 28,
    "score": 45.21,
    "expected_audience": 31.0,
    "interval": {"low": 17, "high": 51, "level": 0.9},
    **RANK,
}
SCALE = Scale(4.0, 12.0)
AVERAGE = Baseline(8_431, {}, None, {}, NEWEST["as_of"], active_days=56.0, scores=(48.0,))
RANKED = rank(0.974, AVERAGE, "all", 48.71, 30.0)
CURSOR = encode_cursor(Cursor(datetime(2017, 7, 30, tzinfo=UTC), "3", SearchQuery(), PageToken(48.71, "ann")))
LATELY = CATALOGUE["credible_engagers_decayed_28d"].describe(9.5)
RATE = CATALOGUE["responder_rate_365d"].describe(4.2)
ABSENT, ACTIVE = (CATALOGUE["days_of_absence"].describe(days) for days in (30, 0))
COUNTED, AWAY = FACTS = (
    Fact(
        f"{RATE} {LATELY}",
        20.7,
        ("responder_rate_365d", "credible_engagers_decayed_28d"),
        (
            FactRow(label("responder_rate_365d"), "54.8", "11.7", 6.5, RATE),
            FactRow(label("credible_engagers_decayed_28d"), "9.5", "1.4", 14.2, LATELY),
        ),
    ),
    Fact(ABSENT, -2.0, ("days_of_absence",), (FactRow(label("days_of_absence"), "86", "", -2.0, ABSENT),)),
)

RESPONSES = asdict(possible_changes(48.71, {}, np.where(COUNTS >= 30, 5.3, 0.0))[0])


def _line(feature: str, value: float, points: float, sentence: str, typical: float) -> dict[str, Any]:
    line = {"feature": feature, "family": CATALOGUE[feature].family, "value": value, "points": points}
    return line | {"sentence": sentence, "typical": typical, "parts": []}


def _section(topic: Topic, *sentences: str | None) -> dict[str, Any]:
    return {"topic": topic, "title": TITLES[topic], "sentences": list(filter(None, sentences))}


def _reason(sentence: str, points: float, *features: str) -> dict[str, Any]:
    family = CATALOGUE[features[0]].family
    return {"sentence": sentence, "points": points, "family": family, "features": list(features)}


SCORE = USER | NEWEST | NEWEST_SCORE
EXPLANATION = {
    **USER,
    **NEWEST,
    "released": True,
    "horizon_days": 28,
    "score": 48.71,
    "percentile": 97.5,
    "peer_percentile": 61.0,
    "users_below": 0.974,
    "unclipped": 48.71,
    "base": 30.0,
    "baseline": AVERAGE.description,
    "clipping": 0.0,
    "families": {"reach": 20.71, "cadence": -2.0},
    "lines": [
        _line("credible_engagers_decayed_28d", 9.5, 14.21, LATELY, 1.4),
        _line("responder_rate_365d", 4.2, 6.5, RATE, 0.9),
        _line("days_of_absence", 30.0, -2.0, ABSENT, 0.0),
    ],
    "facts": [asdict(fact) | {"features": list(fact.features), "rows": [*map(asdict, fact.rows)]} for fact in FACTS],
    "story": [
        _section(
            "score",
            standing("ann", 48.71, NEWEST["as_of"]),
            describe_expectation(41.5, None, 28, False),
            RANKED,
            start(30.0, AVERAGE, "all", RANKED),
            *describe_factor(41.5, SCALE),
        ),
        _section("for", COUNTED.pointed),
        _section("against", AWAY.pointed),
        _section(
            "evidence",
            describe_certainty(Interval(24, 66, 0.9), 28, SCALE),
            describe_evidence("strong", {"engagers_365d": 312.0}),
        ),
        _section("change", RESPONSES["sentence"]),
    ],
    "reasons_for": [COUNTED.sentence],
    "reasons_against": [ABSENT],
    "reasons": [
        _reason(COUNTED.sentence, 20.71, *COUNTED.features),
        _reason(ABSENT, -2.0, "days_of_absence"),
    ],
    "held_back": [],
    "possible_changes": [RESPONSES],
    "interval": INTERVAL,
    "evidence": "strong",
    "expected_audience": 41.5,
    "chance": None,
    "status": "scored",
    "missing": None,
}
HISTORY = {
    **USER,
    "scores": [EARLIER | EARLIER_SCORE, NEWEST | NEWEST_SCORE],
    "absent": ["2017-06-04T00:00:00Z"],
    "damaged": [],
    "earlier": None,
}
CHANGE = {
    **USER,
    "before": {
        **EARLIER,
        "score": 45.21,
        "unclipped": 45.21,
        "expected_audience": 31.0,
        "chance": None,
        "evidence": "strong",
    },
    "after": {
        **NEWEST,
        "score": 48.71,
        "unclipped": 48.71,
        "expected_audience": 41.5,
        "chance": None,
        "evidence": "strong",
    },
    "change": 3.5,
    "parts": {"own": -2.0, "others": 5.5, "time": 0.0, "model": 0.0, "scale": 0.0, "clipping": 0.0},
    "lines": [
        {"part": "others", "feature": "credible_engagers_decayed_28d", "family": "reach", "before": 6.0, "after": 9.5}
        | {"points": 5.5, "sentence": LATELY},
        {"part": "own", "feature": "days_of_absence", "family": "cadence", "before": 0.0, "after": 30.0}
        | {"points": -2.0, "sentence": ABSENT},
    ],
    "reasons_up": [LATELY],
    "reasons_down": [ABSENT],
    "reasons": [_reason(LATELY, 5.5, "credible_engagers_decayed_28d"), _reason(ABSENT, -2.0, "days_of_absence")],
    "remarks": [],
    "status": "scored",
    "missing": None,
}
WHAT_IF = {
    **USER,
    **NEWEST,
    "horizon_days": 28,
    "score": 48.71,
    "expected_audience": 41.5,
    "interval": INTERVAL,
    "evidence": "strong",
    "peers": 1843,
    "away_days": None,
    "asked": None,
    "in_own_hands": [
        {
            "changes": [
                {"feature": "days_of_absence", "before": 30.0, "after": 0.0, "asked": True, "actionable": True}
                | {"outside": False, "points": 2.0, "sentence": ACTIVE, "sentence_now": ABSENT}
            ],
            "asks": 0.1,
            "score": 50.71,
            "gain": 2.0,
            "other_lines": 0.0,
            "clipping": 0.0,
            "expected_audience": 49.03,
            "interval": {"low": 29, "high": 77, "level": 0.9},
            "in_own_hands": True,
        }
    ],
    "possible_changes": [RESPONSES],
    "notes": [OWN],
    "association": ASSOCIATION,
}
FOUND = SCORE | {"growth": 2.4, "people": 57.0, "credibility": 92.5}
PAGE = NEWEST | {
    "scope": "all",
    "since": EARLIER["as_of"],
    "matching": 1843,
    "users": [FOUND],
    "next_cursor": CURSOR,
}
SCORES = NEWEST | {"scope": "all", "users": [SCORE], "unknown": ["bob"]}
ROWS = {
    "model_version": "3",
    "horizon_days": 28,
    "scores": [{"score": 48.71, "unclipped": 48.71, "expected_audience": 41.5, "interval": INTERVAL}],
}
MODEL = {
    "model_version": "3",
    "horizon_days": 28,
    "catalogue": CATALOGUE.fingerprint,
    "features": [feature.name for feature in SCORED],
    "scale": {"anchor": 4.0, "points_per_nat": 12.0, "p95_points": 50.0},
    "intervals": {
        "level": 0.9,
        "parts": [
            {
                "expected": 0.0,
                "low_nats": -0.4,
                "high_nats": 0.9,
                "least": -0.7,
                "most": 2.4,
                "inputs": [],
                "largest": 9.0,
            },
            {
                "expected": 1.0,
                "low_nats": -1.1,
                "high_nats": 1.2,
                "least": -3.5,
                "most": 2.9,
                "inputs": [
                    {"name": "expected_audience", "least": 0.0, "most": 5.6, "low_nats": 0.08, "high_nats": -0.11},
                    {"name": "responder_rate_365d", "least": 0.0, "most": 1.9, "low_nats": 0.12, "high_nats": 0.04},
                ],
                "largest": 161.0,
            },
        ],
    },
    "facts": {"as_of": "2017-07-02T00:00:00+00:00", "rows": 72000},
    "figures": None,
}
OPTED_OUT = {"user": "ann", "opted_out": True, "since": "2017-08-01T09:00:00Z"}
OPTED_IN = {"user": "ann", "opted_out": False, "since": None}
RECEIPT = {
    "receipt": "5f0c6e0a1b9d4c7788f3a2d1",
    "person": "9a4c1f62b80e7d53aa02c9e41f7b6d3850e2c4b19f8a7d6c5b4e3f2a1908d7c6",
    "asked": "2017-08-01T09:00:00Z",
    "finished": None,
    "removed": [{"place": "snapshot 2017-07-30T000000Z_v3", "rows": 1}],
    "failed": [],
    "remains": ["The registered model versions (3) may have learnt from the person's rows among everybody's."],
}
HEALTH = {"status": "ok"}
READY = {"status": "ready", **NEWEST, "snapshot_version": NEWEST["model_version"], "users": 73720, "stale": {}}


def catalogue() -> dict[str, Any]:
    """Return the response of /v1/catalogue, cut after its first feature."""
    first = next(iter(CATALOGUE))
    fields = ("name", "family", "unit", "meaning", "direction", "actionable")
    entry = {key: getattr(first, key) for key in fields} | {"sentence": first.example_sentence}
    return {"catalogue": CATALOGUE.fingerprint, "features": [entry]}


def success(example: dict[str, Any], status: int = 200) -> dict[int | str, dict[str, Any]]:
    """Document in OpenAPI the successful response of a route."""
    return {status: {"content": {"application/json": {"example": example}}}}


def success_either(**examples: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """Document in OpenAPI several successful responses of a route, by name."""
    named = {name: {"value": example} for name, example in examples.items()}
    return {200: {"content": {"application/json": {"examples": named}}}}


MESSAGE = "I was not away in July: the import left out the other network."
REASONS = "The import of July was repeated; the score of 2 August is made from all networks."
PURPOSES = {
    "header": HEADER,
    "demanded": False,
    "longest": MAX_LENGTH,
    "allowed": list(DEFAULT_PURPOSES),
    "prohibited": [{"name": use.name, "reason": use.reason} for use in PROHIBITED_USES],
}
READS: dict[str, Any] = {
    "user": "ann",
    "reads": [
        {
            "time": "2017-08-01T09:30:00.125Z",
            "request_id": "8f14e45fceea467a9c1f0d3b5a7e2c64",
            "method": "GET",
            "route": "/v1/users/{user}/explanation",
            "status": 200,
            "key": "3f1c9a5be020",
            "name": "dashboard",
            "purpose": "community moderation",
            "refused": None,
            "instants": {},
            **NEWEST,
            "users": 1,
        }
    ],
    "earlier": None,
    "illegible": [],
}
OPENED = {"case": EXAMPLE_CASE, **USER, **NEWEST, "state": "open", "opened": "2017-08-01T10:00:00.000Z"}
RESOLVED = {"decision": "corrected", "reasons": REASONS, "resolved": "2017-08-02T15:00:00.000Z"}
OUTCOME = {**OPENED, "message": MESSAGE, **RESOLVED, "state": "resolved"}
LISTED = OUTCOME | {"opened_by": "website", "resolved_by": "reviewers"}
OPEN_CASE = LISTED | {"state": "open", "decision": None, "reasons": None, "resolved": None, "resolved_by": None}
CASE_PAGE = {"cases": [OPEN_CASE], "next_cursor": None}


def _pair(line: Any) -> dict[str, Any]:
    side = {name: line[name] for name in ("value", "points", "sentence")}
    return {"feature": line["feature"], "then": side, "now": side, "moved": 0.0}


LINES: Any = EXPLANATION["lines"]
CASE_FILE = {
    "case": OPEN_CASE,
    "explanation": EXPLANATION,
    "today": {
        "now": EXPLANATION,
        "absent": None,
        "same_snapshot": True,
        "same_model": True,
        "moved": 0.0,
        "lines": [_pair(line) for line in LINES],
    },
    "others": [],
}
CONTEST = {"contest": {"summary": "What is wrong, in the user's words", "value": {"message": MESSAGE, "scope": "all"}}}
RESOLUTION = {"corrected": {"summary": "Something was wrong", "value": {"decision": "corrected", "reasons": REASONS}}}
SELECTION_REQUESTS = {
    "group": {"summary": "Ten users", "value": {"k": 10}},
    "budget": {
        "summary": "Within a budget",
        "value": {"k": 5, "cost": {"ann": 300, "bob": 120}, "budget": 500, "exclude": ["cat"]},
    },
}
SELECTION = NEWEST | {
    "scope": "all",
    "horizon_days": 28,
    "k": 2,
    "count": "credible",
    "reach": 58.7,
    "reach_range": {"least": 50.5, "most": 66.9, "past_horizons": 5},
    "guarantee": {
        "theorem": THEOREMS[GREEDY],
        "at_least": 0.632,
        "upper_bound": 60.5,
        "at_least_of_best": 0.97,
    },
    "members": [
        {"user": "ann", "adds": 41.5, "reach": 41.5, "expected_audience": 41.5, "score": 48.71}
        | {"cost": None, "network": None},
        {"user": "bob", "adds": 17.2, "reach": 58.7, "expected_audience": 21.0, "score": 40.53}
        | {"cost": None, "network": None},
    ],
    "overlap": [[41.5, 3.8], [3.8, 21.0]],
    "alternatives": [{"by": "expected_audience", "users": ["ann", "eve"], "reach": 52.3}],
    "left_out": [{"user": "cat", "because": "excluded"}],
    "notes": [],
}
