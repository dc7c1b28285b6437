"""Examples of answers about people's rights, for OpenAPI."""

from typing import Any

from serving.rights.case import CASE
from serving.rights.prohibited import PROHIBITED
from serving.rights.purposes import HEADER, LONGEST
from serving.routes.examples import EXPLANATION

SAID = "I was not away in July: the import left out the other network."
REASONS = "The import of July was repeated; the score of 2 August is made from all networks."
PURPOSES = {
    "header": HEADER,
    "demanded": False,
    "longest": LONGEST,
    "prohibited": [
        {"name": each.name, "reason": each.reason, "words": list(each.phrases), "alone": sorted(each.alone)}
        for each in PROHIBITED
    ],
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
            "as_of": "2017-07-30T00:00:00Z",
            "model_version": "3",
            "people": 1,
        }
    ],
    "earlier": None,
    "illegible": [],
}
OPENED = {
    "case": CASE,
    "user": "ann",
    "scope": "all",
    "as_of": "2017-07-30T00:00:00Z",
    "model_version": "3",
    "state": "open",
    "opened": "2017-08-01T10:00:00.000Z",
}
RESOLVED = {"decision": "corrected", "reasons": REASONS, "resolved": "2017-08-02T15:00:00.000Z"}
OUTCOME = {**OPENED, "said": SAID, **RESOLVED, "state": "resolved"}
LISTED = OUTCOME | {"opened_by": "website", "resolved_by": "reviewers"}
WAITING = LISTED | {"state": "open", "decision": None, "reasons": None, "resolved": None, "resolved_by": None}
CASE_PAGE = {"cases": [WAITING], "next_cursor": None}


def _paired(line: Any) -> dict[str, Any]:
    side = {name: line[name] for name in ("value", "points", "sentence")}
    return {"feature": line["feature"], "then": side, "now": side, "moved": 0.0}


LINES: Any = EXPLANATION["lines"]
CASE_FILE = {
    "case": WAITING,
    "explanation": EXPLANATION,
    "today": {
        "now": EXPLANATION,
        "absent": None,
        "same_snapshot": True,
        "same_model": True,
        "moved": 0.0,
        "lines": [_paired(line) for line in LINES],
    },
    "others": [],
}
CONTEST = {"contest": {"summary": "What is wrong, in the person's words", "value": {"said": SAID, "scope": "all"}}}
RESOLUTION = {"corrected": {"summary": "Something was wrong", "value": {"decision": "corrected", "reasons": REASONS}}}
