"""Schemas of selections: what a group must satisfy, and what it is expected to reach."""

from typing import Annotated

from pydantic import Field

from features.utc import UtcText
from serving.api.schemas import MAX_PER_REQUEST, Audience, Horizon, Instant, Schema, Scope, Score, Text, User, Version
from serving.selections.candidates import Count
from serving.selections.select import Budget, Cost, NetworkLimit, Size

People = Annotated[float, Field(description="Distinct people, as they count", examples=[96.4])]
Ids = Annotated[list[Text], Field(max_length=MAX_PER_REQUEST)]
COUNT = "credible: people, each as far as established ones vouch for them; everybody: all alike"


class SelectionBody(Schema):
    """What a group must satisfy."""

    k: Size = Field(10, description="How many users")
    scope: Text = Field("all", description="A part of the activity: all, network:NAME or topic:NAME")
    as_of: UtcText | None = Field(None, description="Instant of the snapshot, ISO 8601; default the served one")
    count: Count = Field("credible", description=f"Who counts as reached. {COUNT}")
    include: Ids = Field([], description="Users who must be in the group, at most 10,000 ids")
    exclude: Ids = Field([], description="Users who must not be in the group, at most 10,000 ids")
    cost: dict[Text, Cost] | None = Field(
        None, max_length=MAX_PER_REQUEST, description="What users cost, by id; users without a cost are left out"
    )
    budget: Budget | None = Field(None, description="The most that the group may cost; together with cost")
    max_per_network: NetworkLimit | None = Field(
        None, description="The most users of one network; needs a snapshot with scores by network"
    )


class SelectedUser(Schema):
    """A user of the group, in the order of selection."""

    user: User
    adds: float = Field(description="People whom the user adds to those before", examples=[17.2])
    reach: float = Field(description="People whom the group reaches up to this user", examples=[96.4])
    expected_audience: Audience
    score: Score
    cost: float | None = Field(description="What the user costs; null without costs")
    network: str | None = Field(description="The user's network; null without a limit per network")


class GroupReachRange(Schema):
    """Between how many people such a group reaches in 8 of 10 cases, by what groups of past horizons reached."""

    least: People
    most: People
    past_horizons: int = Field(description="How many past horizons it comes from")


class GroupGuarantee(Schema):
    """How close the group is to the best possible one."""

    theorem: str | None = Field(description="The theorem that applies; null where none does")
    at_least: float | None = Field(description="The share of the best group's reach that it ensures")
    upper_bound: People
    at_least_of_best: float = Field(description="Reach over the upper bound", examples=[0.97])


class AlternativeGroup(Schema):
    """The same number of users by something simpler, under the same constraints."""

    by: str = Field(description="score, expected_audience or followers")
    users: list[str] = Field(description="The users, highest first")
    reach: People


class UserLeftOut(Schema):
    """A user who would be in the group without its constraints."""

    user: User
    because: str = Field(description="The constraint: excluded, no cost, budget or network", examples=["budget"])


class GroupSelection(Schema):
    """A selected group, and what it is expected to reach."""

    as_of: Instant
    model_version: Version
    scope: Scope
    horizon_days: Horizon
    k: int = Field(description="How many users were requested")
    count: Count = Field(description=f"Who counts as reached. {COUNT}")
    reach: People
    reach_range: GroupReachRange | None = Field(description="Of the reach; null where no past horizon was measured")
    guarantee: GroupGuarantee = Field(description="How close the group is to the best possible one")
    members: list[SelectedUser] = Field(description="In the order of selection")
    overlap: list[list[float]] = Field(
        description="How many people each two members both reach; on the diagonal, what each reaches alone"
    )
    alternatives: list[AlternativeGroup] = Field(description="Simpler groups of the same size and constraints")
    left_out: list[UserLeftOut] = Field(description="Who is missing because of a constraint")
    notes: list[str] = Field(description="What the reader should know, in sentences")
