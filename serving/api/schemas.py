"""Schemas: bodies of requests and responses, as documented in OpenAPI."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from features.catalogue.feature import Direction, Family
from features.utc import UtcText
from serving.privacy.case_comparison import CaseComparison
from serving.privacy.cases import EXAMPLE_CASE, MAX_TEXT_LENGTH, Decision, State
from serving.snapshots.explanation import Evidence, ScoreRow, Status
from training.model.intervals import Interval, Intervals
from training.model.scale import Scale

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
Instant = Annotated[UtcText, Field(description="ISO 8601, UTC", examples=["2017-07-30T00:00:00Z"])]
User = Annotated[str, Field(description="Id of the user", examples=["ann"])]
Scope = Annotated[
    str, Field(description="A part of the activity: all, network:NAME or topic:NAME", examples=["all", "topic:birds"])
]
Audience = Annotated[float, Field(description="Distinct people expected to engage within the horizon", examples=[41.5])]
Horizon = Annotated[int, Field(description="How far ahead the audience is counted, in days", examples=[28])]
AudienceInterval = Annotated[Interval, Field(description="Interval of the audience")]
Version = Annotated[str, Field(description="Version of the model in the registry", examples=["3"])]


class Schema(BaseModel):
    """Base of all schemas; unknown fields are refused."""

    model_config = ConfigDict(protected_namespaces=(), extra="forbid")


class UserScore(Schema):
    """One user's score."""

    user: User
    scope: Scope
    as_of: Instant
    model_version: Version
    released: bool = Field(description="Whether the model was ever the champion")
    horizon_days: Horizon
    score: Score
    expected_audience: Audience
    interval: AudienceInterval
    percentile: float = Field(description="Among all users of the scope, 0 to 100", examples=[97.5])
    peer_percentile: float = Field(description="Among peers, 0 to 100", examples=[61.0])
    evidence: Evidence = Field(description="How much is known about the user")
    status: Status = Field(description="insufficient_evidence where too little is known, else scored")

    @classmethod
    def of(cls, row: ScoreRow) -> Self:
        """Return a score of a snapshot in this form."""
        values: dict[str, Any] = {**row}
        interval = {name: values.pop(name) for name in ("low", "high", "level")}
        return cls(**values, interval=Interval(**interval))


class RowScore(Schema):
    """The score of one feature row."""

    score: Score
    unclipped: Points
    expected_audience: Audience
    interval: AudienceInterval


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
    """What to score: users of a snapshot, or feature rows, as objects or as a table; exactly one."""

    users: list[Text] | None = Field(None, max_length=MAX_PER_REQUEST, description="At most 10,000 ids")
    scope: Text | None = Field(None, description="Scope of the users' scores; default all")
    as_of: UtcText | None = Field(
        None, description="Instant of the snapshot of the users, ISO 8601; default the served one"
    )
    rows: list[dict[str, Value | None]] | None = Field(
        None,
        max_length=MAX_PER_REQUEST,
        description="At most 10,000; each maps features of /v1/catalogue to values; null or absent is unknown",
    )
    table: Table | None = Field(None, description="The rows as a table")

    @model_validator(mode="after")
    def _check_exactly_one(self) -> Self:
        if [self.users, self.rows, self.table].count(None) != 2:
            raise ValueError("give exactly one of users, rows and table")
        for name in ("scope", "as_of"):
            if getattr(self, name) is not None and self.users is None:
                raise ValueError(f"{name} applies to users only; the features of rows were already computed")
        return self


class UserScores(Schema):
    """The scores of users in the snapshot, and the ids that it does not contain or show."""

    as_of: Instant
    model_version: Version
    scope: Scope
    users: list[UserScore] = Field(description="In the order of the request")
    unknown: list[str] = Field(description="Ids without a score, in the order of the request")


class FoundUser(UserScore):
    """A user of a search."""

    growth: float | None = Field(
        description="Change of the score since the earlier snapshot, in points; null without one", examples=[2.4]
    )
    people: float | None = Field(
        description="People who engaged with the user in the last 365 days; peers have about as many", examples=[57]
    )
    credibility: float | None = Field(
        description="The share of these people whom established ones vouch for, in percent; null without people",
        examples=[92.5],
    )


class UserPage(Schema):
    """One page of a search: users of one snapshot, those with the highest score or other value first."""

    as_of: Instant
    model_version: Version
    scope: Scope
    since: UtcText | None = Field(
        description="Instant of the earlier snapshot of the growth; null without one", examples=["2017-07-02T00:00:00Z"]
    )
    matching: int = Field(description="How many users match, on all pages together", examples=[1843])
    users: list[FoundUser] = Field(description="By score or another value, highest first, then by id")
    next_cursor: str | None = Field(description="Cursor of the next page; null on the last")


class RowScores(Schema):
    """The champion's scores of feature rows."""

    model_version: Version
    horizon_days: Horizon
    scores: list[RowScore] = Field(description="In the order of the request")


class Model(Schema):
    """The champion."""

    model_version: Version
    horizon_days: Horizon
    catalogue: str = Field(description="Fingerprint of the feature catalogue it was trained on")
    features: list[str] = Field(description="In the order of the model's input")
    scale: Scale = Field(description="score = clip(anchor + points_per_nat * ln(expected audience), 0, 100)")
    intervals: Intervals = Field(description="The level of the intervals, and how their ends are computed")
    facts: dict[str, Any] = Field(description="What the model was trained on, and when")
    figures: dict[str, Any] | None = Field(description="Out-of-time evaluation; null if none was registered")


class CatalogueEntry(Schema):
    """One feature."""

    name: str = Field(description="Name of the feature", examples=["credible_engagers_28d"])
    family: Family = Field(description="The family that it belongs to", examples=["reach"])
    unit: str = Field(description="Unit of its values", examples=["people"])
    meaning: str = Field(description="What it measures")
    direction: Direction = Field(
        description="How a larger value may move the score: up, down or free; none if the model ignores it"
    )
    actionable: bool = Field(description="Whether the user can act on it")
    sentence: str = Field(description="The sentence shown to reviewers about a user with a value of 12, or 12 %")


class Catalogue(Schema):
    """Every feature, in order, and a fingerprint that changes if any feature does."""

    catalogue: str = Field(description="Fingerprint of the catalogue")
    features: list[CatalogueEntry] = Field(description="Every feature, in order")


class OptOut(Schema):
    """Whether a user has opted out."""

    user: User
    opted_out: bool = Field(description="Whether the user has opted out")
    since: UtcText | None = Field(
        description="ISO 8601, UTC; null if the user has not opted out", examples=["2017-07-30T00:00:00Z"]
    )


class Health(Schema):
    """The process runs."""

    status: Literal["ok"] = Field(description="Always ok", examples=["ok"])


class Stale(Schema):
    """Why a part that the service answers from is outdated, or not of the champion."""

    detail: str = Field(description="What is wrong and what to do")
    since: Instant


class Readiness(Schema):
    """The champion and a snapshot are loaded."""

    status: Literal["ready"] = Field(description="Always ready", examples=["ready"])
    model_version: Version
    as_of: Instant
    snapshot_version: Version = Field(description="Version of the model that made the served scores")
    users: int = Field(description="Users in the snapshot")
    stale: dict[str, Stale] = Field(
        description="Parts (champion, snapshot) that could not be reloaded while the previous ones answer; snapshot "
        "also where it is by another version than the champion, or older than others; audit_log while its lines wait "
        "for the disk"
    )


Message = Annotated[Text, Field(max_length=MAX_TEXT_LENGTH)]
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

    name: str = Field(description="Name of the use", examples=["hiring"])
    reason: str = Field(description="Why, in a sentence")


class Purposes(Schema):
    """How a request names its purpose, which purposes are allowed, and which uses are prohibited."""

    header: str = Field(description="Name of the request header", examples=["Clout-Purpose"])
    demanded: bool = Field(description="Whether requests about users are refused without a purpose")
    longest: int = Field(description="Maximum length in characters")
    allowed: list[str] = Field(description="The only purposes accepted, in any case; set by the operator")
    prohibited: list[ProhibitedPurpose] = Field(description="Uses that are refused, with reasons")


class Contest(Schema):
    """A user's statement of what is wrong with a score."""

    message: Message = Field(description="What is wrong, in the user's words, at most 4,000 characters")
    scope: Text = Field("all", description="Scope of the score")
    as_of: UtcText | None = Field(None, description="Instant of the snapshot, ISO 8601; default the served one")


class OpenedCase(Schema):
    """An opened case; it stores the explanation for the reviewer."""

    case: CaseId
    user: User
    scope: Scope
    as_of: Instant
    model_version: Version
    state: State = Field(description="Whether the case is open or resolved")
    opened: Instant


class CaseOutcome(OpenedCase):
    """A case as the user may read it."""

    message: str = Field(description="What is wrong, in the user's words")
    decision: OptionalDecision
    reasons: str | None = Field(description="Reasons of the decision")
    resolved: UtcText | None = Field(description="When the case was resolved; null while it is open")


class ListedCase(CaseOutcome):
    """A case as reviewers list it."""

    opened_by: str = Field(description="The name of the API key")
    resolved_by: str | None = Field(description="The name of the API key, or of the command's operator")


class CasePage(Schema):
    """One page of cases, oldest first."""

    cases: list[ListedCase] = Field(description="Oldest first")
    next_cursor: str | None = Field(description="Cursor of the next page; null on the last")


class CaseFile(Schema):
    """What a reviewer needs: the case, the explanation of then and of today, and other cases."""

    case: ListedCase = Field(description="The case")
    explanation: dict[str, Any] = Field(description="Of the score, when the case was opened, in the form of that time")
    today: CaseComparison = Field(description="The stored explanation beside that of the served snapshot")
    others: list[CaseId] = Field(description="Other cases of the same user, oldest first, at most 100")


class Resolution(Schema):
    """A reviewer's decision."""

    decision: Decision = Field(description="As in a resolved case")
    reasons: Message = Field(description="For the user, at most 4,000 characters")


ListedState = Literal["open", "resolved", "any"]
