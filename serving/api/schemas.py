"""Schemas: bodies of requests and responses, as documented in OpenAPI."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from serving.privacy.case_comparison import CaseComparison
from serving.privacy.cases import EXAMPLE_CASE, MAX_TEXT_LENGTH, Decision, State

MAX_PER_REQUEST = 10_000
MAX_FEATURES = 1_000
MAX_ABS_VALUE = 1e15


def _encodable(text: str) -> str:
    """Refuse lone surrogates, which JSON can express and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("the text contains a lone surrogate") from error
    return text


Text = Annotated[str, AfterValidator(_encodable)]
Value = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-MAX_ABS_VALUE, le=MAX_ABS_VALUE)]
Points = Annotated[float, Field(description="Points", examples=[63.2])]
Score = Annotated[float, Field(description="Points, 0 to 100", examples=[63.2])]
People = Annotated[int, Field(description="Whole people")]
Percent = Annotated[float, Field(description="0 to 100", examples=[97.5])]
Instant = Annotated[str, Field(description="ISO 8601, UTC", examples=["2017-07-30T00:00:00Z"])]
Version = Annotated[str, Field(description="Version of the model in the registry", examples=["3"])]


class Schema(BaseModel):
    """Base of all schemas; unknown fields are refused."""

    model_config = ConfigDict(protected_namespaces=(), extra="forbid")


class UserScore(Schema):
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


class RowScore(Schema):
    """The score of one feature row."""

    score: Score
    unclipped: Points
    expected_audience: float
    low: People
    high: People


class Table(Schema):
    """Feature rows as a table: feature names appear once, which takes a third of the bytes."""

    features: list[Text] = Field(
        min_length=1, max_length=MAX_FEATURES, description="Names from /v1/catalogue, each once"
    )
    values: list[list[Value | None]] = Field(
        max_length=MAX_PER_REQUEST, description="At most 10,000 rows, one value per feature; null is unknown"
    )

    @model_validator(mode="after")
    def _check_shape(self) -> Self:
        if len(set(self.features)) < len(self.features):
            raise ValueError("a feature appears twice")
        if not set(map(len, self.values)) <= {len(self.features)}:
            number, row = next((k, row) for k, row in enumerate(self.values) if len(row) != len(self.features))
            raise ValueError(
                f"row {number}, counted from 0, holds {len(row)} values, expected {len(self.features)}, one per feature"
            )
        return self


class ScoreRequest(Schema):
    """What to score: users of the newest snapshot by id, or feature rows, as objects or as a table; exactly one."""

    ids: list[Text] | None = Field(None, max_length=MAX_PER_REQUEST, description="At most 10,000")
    scope: Text | None = Field(None, description="Scope of the ids' scores; default all")
    rows: list[dict[str, Value | None]] | None = Field(
        None,
        max_length=MAX_PER_REQUEST,
        description="At most 10,000; each maps features of /v1/catalogue to values; null or absent is unknown",
    )
    table: Table | None = None

    @model_validator(mode="after")
    def _check_exactly_one(self) -> Self:
        if [self.ids, self.rows, self.table].count(None) != 2:
            raise ValueError("give exactly one of ids, rows and table")
        if self.scope is not None and self.ids is None:
            raise ValueError("scope applies to ids only; the features of rows were already computed over a scope")
        return self


class UserScores(Schema):
    """The scores of users in the snapshot, in the order of the request, and the ids it does not contain or show."""

    as_of: Instant
    model_version: Version
    scope: str
    scores: list[UserScore]
    unknown: list[str]


class UserPage(Schema):
    """One page of a search: users of one snapshot by score, highest first, then by id."""

    as_of: Instant
    model_version: Version
    scope: str = Field(examples=["all"])
    matching: int = Field(description="How many users match, on all pages together", examples=[1843])
    users: list[UserScore]
    next_cursor: str | None = Field(description="Cursor of the next page; null on the last")


class RowScores(Schema):
    """The champion's scores of feature rows, in the order of the request."""

    model_version: Version
    horizon_days: int
    scores: list[RowScore]


class Model(Schema):
    """The champion."""

    model_version: Version
    horizon_days: int
    catalogue: str = Field(description="Fingerprint of the feature catalogue it was trained on")
    features: list[str] = Field(description="In the order of the model's input")
    scale: dict[str, float] = Field(description="score = clip(anchor + points_per_nat * ln(expected audience), 0, 100)")
    interval: dict[str, Any] = Field(description="The level of the intervals, and their bands by expected audience")
    facts: dict[str, Any] = Field(description="What the model was trained on, and when")
    figures: dict[str, Any] | None = Field(description="Out-of-time evaluation; null if none was registered")


class CatalogueEntry(Schema):
    """One feature."""

    name: str = Field(examples=["credible_engagers_28d"])
    family: str = Field(examples=["reach"])
    unit: str = Field(examples=["people"])
    meaning: str
    direction: str = Field(
        description="How a larger value may move the score: up, down or free; none if the model ignores it"
    )
    actionable: bool = Field(description="Whether the user can act on it")
    sentence: str = Field(description="The sentence shown to reviewers, with {value} in it")


class Catalogue(Schema):
    """Every feature, in order, and a fingerprint that changes if any feature does."""

    catalogue: str
    features: list[CatalogueEntry]


class OptOut(Schema):
    """Whether a user has opted out."""

    user: str
    opted_out: bool
    since: str | None = Field(
        description="ISO 8601, UTC; null if the user has not opted out", examples=["2017-07-30T00:00:00Z"]
    )


class Health(Schema):
    """The process runs."""

    status: str = Field(examples=["ok"])


class Stale(Schema):
    """Why the service answers from an older champion or snapshot than the newest."""

    detail: str = Field(description="What failed and what to do")
    since: Instant


class Readiness(Schema):
    """The champion and a snapshot are loaded."""

    status: str = Field(examples=["ready"])
    model_version: Version
    as_of: Instant
    users: int = Field(description="Users in the snapshot")
    stale: dict[str, Stale] = Field(
        description="Parts (champion, snapshot) that could not be reloaded while the previous ones answer; audit_log "
        "while its lines wait for the disk"
    )


Said = Annotated[Text, Field(max_length=MAX_TEXT_LENGTH)]
CaseId = Annotated[str, Field(description="Id of the case", examples=[EXAMPLE_CASE])]
OptionalDecision = Annotated[
    Decision | None,
    Field(
        description="stands: the score is right as explained; corrected: something was wrong and was corrected; "
        "acknowledged: something is wrong and cannot be corrected; withdrawn: the user withdrew the case; null: it is "
        "open"
    ),
]


class ProhibitedPurpose(Schema):
    """A use that scores are prohibited for."""

    name: str = Field(examples=["hiring"])
    reason: str = Field(description="Why, in a sentence")


class Purposes(Schema):
    """How a request names its purpose, which purposes are allowed, and which uses are prohibited."""

    header: str
    demanded: bool = Field(description="Whether requests about users are refused without a purpose")
    longest: int = Field(description="Maximum length in characters")
    allowed: list[str] = Field(description="The only purposes accepted, in any case; set by the operator")
    prohibited: list[ProhibitedPurpose]


class Contest(Schema):
    """A user's statement of what is wrong with a score."""

    said: Said = Field(description="In the user's words, at most 4,000 characters")
    scope: Text = Field("all", description="Scope of the score")
    as_of: str | None = Field(None, description="Instant of the snapshot, ISO 8601; default the newest")


class OpenedCase(Schema):
    """An opened case; it stores the explanation for the reviewer."""

    case: CaseId
    user: str
    scope: str
    as_of: Instant
    model_version: Version
    state: State
    opened: Instant


class CaseOutcome(OpenedCase):
    """A case as the user may read it."""

    said: str
    decision: OptionalDecision
    reasons: str | None = Field(description="Reasons of the decision")
    resolved: Instant | None


class ListedCase(CaseOutcome):
    """A case as reviewers list it."""

    opened_by: str = Field(description="The name of the API key")
    resolved_by: str | None = Field(description="The name of the API key, or of the command's operator")


class CasePage(Schema):
    """One page of cases, oldest first."""

    cases: list[ListedCase]
    next_cursor: str | None = Field(description="Cursor of the next page; null on the last")


class CaseFile(Schema):
    """What a reviewer needs: the case, the explanation of then and of today, and other cases."""

    case: ListedCase
    explanation: dict[str, Any] = Field(description="Of the score, when the case was opened")
    today: CaseComparison
    others: list[CaseId] = Field(description="Other cases of the same user, oldest first, at most 100")


class Resolution(Schema):
    """A reviewer's decision."""

    decision: Decision
    reasons: Said = Field(description="For the user, at most 4,000 characters")


ListedState = Literal["open", "resolved", "any"]
