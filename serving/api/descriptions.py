"""Descriptions of schemas that are dataclasses, read from the sections `Parameters` of their docstrings."""

import inspect
import re
from typing import Any

from serving.privacy.audit_check_and_reads import Read, Reads
from serving.privacy.case_comparison import CaseComparison, LinePair, LineSide
from serving.review.history import History, PastScore
from serving.review.score_change import ScoreAt, ScoreChange
from serving.review.what_if import WhatIf
from serving.snapshots.explanation import Explanation
from serving.snapshots.facts import Fact, FactRow
from serving.snapshots.story import Section
from training.explanation.counterfactuals import FeatureChange, ScenarioOutcome
from training.explanation.ledger import Discount
from training.explanation.possible_changes import PossibleChange
from training.explanation.reasons import Line, Reason
from training.explanation.score_change import ChangeLine
from training.model.intervals import Interval, IntervalInput, IntervalPart, Intervals
from training.model.scale import Scale
from training.records.deletion_receipts import Receipt, Removed

SCORES = (Explanation, Section, Fact, FactRow, Line, Reason, Discount, PossibleChange, Interval)
CHANGES = (History, PastScore, ScoreChange, ScoreAt, ChangeLine)
WHAT_IFS = (WhatIf, ScenarioOutcome, FeatureChange)
MODELS = (Scale, Intervals, IntervalPart, IntervalInput)
RIGHTS = (CaseComparison, LinePair, LineSide, Receipt, Removed, Reads, Read)
SECTION = "\n\nParameters\n----------\n"
ENUMS = {
    "Evidence": "How much is known about a user: fewer than 3 events in 365 days, fewer than 20 people who engaged, or "
    "more",
    "Part": "What moved a score: the user, others, the account's age, a model, a scale, or the limits of 0 and 100",
    "State": "Whether a case is open or resolved",
    "Decision": "stands: the score is right as explained; corrected: something was wrong and was corrected; "
    "acknowledged: something is wrong and cannot be corrected; withdrawn: the user withdrew the case",
    "Status": "Whether there is a score, or too little evidence for one",
}


def add(schemas: dict[str, Any]) -> None:
    """Add the descriptions to the schemas of an OpenAPI document."""
    for cls in (*SCORES, *CHANGES, *WHAT_IFS, *MODELS, *RIGHTS):
        about, _, parameters = inspect.getdoc(cls).partition(SECTION)  # type: ignore[union-attr]
        schema = schemas[cls.__name__]
        schema["description"] = " ".join(about.split())
        for name, text in _descriptions(parameters).items():
            schema["properties"][name]["description"] = text
    for name, text in ENUMS.items():
        schemas[name]["description"] = text


def _descriptions(parameters: str) -> dict[str, str]:
    """Return the description of each parameter: lines such as `low, high : the ends`, continued by indented ones."""
    joined = re.sub(r"\n +", " ", parameters)
    lines = (line.partition(" : ") for line in joined.splitlines() if line)
    return {name: text[0].upper() + text[1:] for names, _, text in lines for name in names.split(", ")}
