"""Forms about people's rights: purposes, who read, cases."""

from typing import Annotated, Any, Literal

from pydantic import Field

from serving.rights.case import CASE, LONGEST_TEXT, Decision, State
from serving.rights.compared import Compared
from serving.routes.forms import Form, Instant, Text, Version

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
    today: Compared
    others: list[CaseId] = Field(description="Other cases of the same person, oldest first, the first 100")


class Resolution(Form):
    """What a reviewer decides."""

    decision: Decision
    reasons: Said = Field(description="For the person, at most 4,000 characters")


ListedState = Literal["open", "resolved", "any"]
