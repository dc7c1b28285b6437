"""Forms: what the service takes and gives, as documented in OpenAPI.

Forms about people's rights: purposes, who read, cases.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from serving.privacy.case_comparison import CaseComparison
from serving.privacy.cases import CASE, LONGEST_TEXT, Decision, State

MOST_PER_REQUEST = 10_000
MOST_FEATURES = 1_000
LARGEST_VALUE = 1e15


def _encodable(text: str) -> str:
    """Refuse half a surrogate pair, which JSON can hold and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("a text holds half a surrogate pair") from error
    return text


Text = Annotated[str, AfterValidator(_encodable)]
Value = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-LARGEST_VALUE, le=LARGEST_VALUE)]
Points = Annotated[float, Field(description="Points", examples=[63.2])]
Score = Annotated[float, Field(description="Points, 0 to 100", examples=[63.2])]
People = Annotated[int, Field(description="Whole people")]
Percent = Annotated[float, Field(description="0 to 100", examples=[97.5])]
Instant = Annotated[str, Field(description="ISO 8601, UTC", examples=["2017-07-30T00:00:00Z"])]
Version = Annotated[str, Field(description="Of the model, in the registry", examples=["3"])]


class Form(BaseModel):
    """What all forms have in common: a field that none has is refused."""

    model_config = ConfigDict(protected_namespaces=(), extra="forbid")


class UserScore(Form):
    """One user's score."""

    user: str
    scope: str = Field(examples=["all"])
    as_of: Instant
    model_version: Version
    horizon_days: int = Field(description="How far ahead the audience is counted")
    score: Score
    expected_audience: float = Field(description="Distinct people expected to engage within the horizon")
    low: People
    high: People
    percentile: Percent
    peer_percentile: Percent
    evidence: str = Field(description="insufficient_evidence, some or strong")
    status: str = Field(description="insufficient_evidence where too little is known, else scored")


class RowScore(Form):
    """The score of one feature row."""

    score: Score
    unclipped: Points
    expected_audience: float
    low: People
    high: People


class Table(Form):
    """Feature rows whose features are named once, which takes a third of the bytes."""

    features: list[Text] = Field(min_length=1, max_length=MOST_FEATURES, description="Of /v1/catalogue; each once")
    values: list[list[Value | None]] = Field(
        max_length=MOST_PER_REQUEST, description="At most 10,000 rows, a value for each feature; null is unknown"
    )

    @model_validator(mode="after")
    def _even(self) -> Self:
        if len(set(self.features)) < len(self.features):
            raise ValueError("a feature is named twice")
        if not set(map(len, self.values)) <= {len(self.features)}:
            number, row = next((k, row) for k, row in enumerate(self.values) if len(row) != len(self.features))
            raise ValueError(
                f"row {number}, counted from 0, holds {len(row)} values, expected {len(self.features)}, one for "
                "each feature"
            )
        return self


class ScoreRequest(Form):
    """What to score: users of the newest snapshot by id, or feature rows, singly or as a table; one of the three."""

    ids: list[Text] | None = Field(None, max_length=MOST_PER_REQUEST, description="At most 10,000")
    scope: Text | None = Field(None, description="Of the ids' scores; all unless given")
    rows: list[dict[str, Value | None]] | None = Field(
        None,
        max_length=MOST_PER_REQUEST,
        description="At most 10,000; each maps features (see /v1/catalogue) to values; null or absent is unknown",
    )
    table: Table | None = None

    @model_validator(mode="after")
    def _one_of_the_three(self) -> Self:
        if sum(given is not None for given in (self.ids, self.rows, self.table)) != 1:
            raise ValueError("give exactly one of ids, rows and table")
        if self.scope is not None and self.ids is None:
            raise ValueError("scope goes with ids; rows hold the features of whatever scope they were counted over")
        return self


class UserScores(Form):
    """The scores of those users whom the snapshot knows, in the order asked, and the ids it does not know or show."""

    as_of: Instant
    model_version: Version
    scope: str
    scores: list[UserScore]
    unknown: list[str]


class UserPage(Form):
    """One page of a search: users of one snapshot by score, highest first, then by id."""

    as_of: Instant
    model_version: Version
    scope: str = Field(examples=["all"])
    matching: int = Field(description="How many users match, on all pages together", examples=[1843])
    users: list[UserScore]
    next_cursor: str | None = Field(description="Asks for the next page; null on the last")


class RowScores(Form):
    """The champion's scores of feature rows, in the order given."""

    model_version: Version
    horizon_days: int
    scores: list[RowScore]


class Model(Form):
    """The champion."""

    model_version: Version
    horizon_days: int
    catalogue: str = Field(description="Fingerprint of the feature catalogue it was trained on")
    features: list[str] = Field(description="In the order in which the model sees them")
    scale: dict[str, float] = Field(description="score = clip(anchor + points_per_nat * ln(expected audience), 0, 100)")
    interval: dict = Field(description="The level of the intervals and their bands of expected audience")
    facts: dict = Field(description="What it was trained on, and when")
    figures: dict | None = Field(description="Out-of-time evaluation of its recipe; null if none was registered")


class CatalogueEntry(Form):
    """One feature."""

    name: str = Field(examples=["credible_engagers_28d"])
    family: str = Field(examples=["reach"])
    unit: str = Field(examples=["people"])
    meaning: str
    direction: str = Field(
        description="The only way in which a larger value may move the score: up, down, free; none if it moves none"
    )
    actionable: bool = Field(description="Whether the person can act on it")
    sentence: str = Field(description="What a reviewer reads, with {value} in it")


class Catalogue(Form):
    """Every feature, in order, and a fingerprint that changes with any of them."""

    catalogue: str
    features: list[CatalogueEntry]


class OptOut(Form):
    """Whether somebody is left out by own wish."""

    user: str
    opted_out: bool
    since: str | None = Field(description="ISO 8601, UTC; null for one who is not", examples=["2017-07-30T00:00:00Z"])


class Health(Form):
    """The process answers."""

    status: str = Field(examples=["ok"])


class Stale(Form):
    """Why the service answers from an older champion or snapshot than there is."""

    detail: str = Field(description="What failed and what to do")
    since: Instant


class Readiness(Form):
    """The service has its champion and its snapshot."""

    status: str = Field(examples=["ready"])
    model_version: Version
    as_of: Instant
    users: int = Field(description="In the snapshot")
    stale: dict[str, Stale] = Field(
        description="The parts, champion or snapshot, that could not be renewed, what there was goes on answering; and "
        "audit_log where its lines wait for the disk"
    )


Said = Annotated[Text, Field(max_length=LONGEST_TEXT)]
CaseId = Annotated[str, Field(description="Of the case", examples=[CASE])]
Decided = Annotated[
    Decision | None,
    Field(
        description="stands: the score is right as explained; corrected: something was wrong and was put right; "
        "acknowledged: something is wrong and cannot be put right; withdrawn: the person took it back. Null while open"
    ),
]


class ProhibitedPurpose(Form):
    """Something that scores are not for."""

    name: str = Field(examples=["hiring"])
    reason: str = Field(description="Why, in a sentence")
    words: list[str] = Field(description="By which it is understood, anywhere in a purpose; plurals as well")
    alone: list[str] = Field(description="By which it is understood where a purpose says nothing else")


class Purposes(Form):
    """How a request says what it is for, and what it must not be for."""

    header: str
    demanded: bool = Field(description="Whether requests about people are refused without")
    longest: int = Field(description="Characters")
    prohibited: list[ProhibitedPurpose]


class Contest(Form):
    """What somebody says is wrong with a score."""

    said: Said = Field(description="In the person's words, at most 4,000 characters")
    scope: Text = Field("all", description="Of the score")
    as_of: str | None = Field(None, description="Of which snapshot, ISO 8601; the newest unless given")


class OpenedCase(Form):
    """A case that was opened; the explanation is kept in it, for the reviewer."""

    case: CaseId
    user: str
    scope: str
    as_of: Instant
    model_version: Version
    state: State
    opened: Instant


class CaseOutcome(OpenedCase):
    """What became of a case, as the person is told."""

    said: str
    decision: Decided
    reasons: str | None = Field(description="Of the decision")
    resolved: Instant | None


class ListedCase(CaseOutcome):
    """A case, as reviewers list it."""

    opened_by: str = Field(description="The name of the API key")
    resolved_by: str | None = Field(description="The name of the API key, or of who ran the command")


class CasePage(Form):
    """One page of cases, oldest first."""

    cases: list[ListedCase]
    next_cursor: str | None = Field(description="Asks for the next page; null on the last")


class CaseFile(Form):
    """All that a reviewer needs: the case, the explanation as it was then, today's beside it, and earlier cases."""

    case: ListedCase
    explanation: dict[str, Any] = Field(description="Of the score, as it was when the case was opened")
    today: CaseComparison
    others: list[CaseId] = Field(description="Other cases of the same person, oldest first, the first 100")


class Resolution(Form):
    """What a reviewer decides."""

    decision: Decision
    reasons: Said = Field(description="For the person, at most 4,000 characters")


ListedState = Literal["open", "resolved", "any"]
