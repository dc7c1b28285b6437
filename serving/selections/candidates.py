"""Candidates: the users of one scope at one instant, from a snapshot or from events, and whom each is to reach."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Literal, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.errors import ConfigError, ScopeError
from serving.snapshots.audience_files import StoredAudiences
from serving.snapshots.query import SearchQuery
from serving.snapshots.ranking import hidden_rows, rows_of_user
from serving.snapshots.snapshot import NoAudiencesError, Snapshot
from training.records.opt_outs import OptedOutUsers
from training.selection.audiences import Audiences
from training.selection.coverage import Constraints, Group, select_group
from training.selection.selection_model import SelectionModel, selection_model

Count = Literal["credible", "everybody"]
NETWORK = "network:"
MOST_USERS = 1_000


@dataclass(frozen=True)
class Candidates:
    """The users of a snapshot, or of the same columns computed from events; those of one scope are candidates.

    Parameters
    ----------
    as_of, model_version, horizon_days : of the scores
    scope : of the candidates
    scores : user, scope, score and expected_audience of every row, ordered by user and scope
    stored : the audiences of the same rows
    hidden : row numbers of users who are neither selected nor counted
    model : what the audiences were computed with

    """

    as_of: datetime
    model_version: str
    horizon_days: int
    scope: str
    scores: pa.Table
    stored: StoredAudiences
    hidden: np.ndarray
    model: SelectionModel

    @cached_property
    def eligible(self) -> np.ndarray:
        """Which rows are candidates: visible users of the scope, bool, shape (rows,)."""
        eligible: np.ndarray = pc.equal(self.scores.column("scope"), self.scope).to_numpy(zero_copy_only=False)
        eligible[self.hidden] = False
        return eligible

    @cached_property
    def audiences(self) -> dict[Count, Audiences]:
        """The audiences by who counts; hidden users count for nothing."""
        everybody, weight = self.stored.audiences(self.scope), self.stored.weight
        if len(self.hidden):
            visible = np.ones(len(self.stored))
            visible[self.hidden] = 0.0
            everybody, weight = replace(everybody, weight=visible), weight * visible
        return {"everybody": everybody, "credible": everybody.counting(weight)}

    @cached_property
    def expected_audience(self) -> np.ndarray:
        """The expected audience of every row, in people."""
        return np.asarray(self.scores.column("expected_audience").to_numpy())

    @cached_property
    def orders(self) -> dict[str, np.ndarray]:
        """What the k highest are compared by: the values of every row, by name."""
        score = np.asarray(self.scores.column("score").to_numpy())
        return {
            "score": score,
            "expected_audience": self.expected_audience,
            "followers": self.stored.followers.astype(float),
        }

    @cached_property
    def highest(self) -> dict[str, np.ndarray]:
        """The rows of all candidates by each order, int32, highest values first; equals by user id.

        An order by which all candidates are equal, such as followers where nobody follows, is none.
        """
        rows = np.flatnonzero(self.eligible).astype(np.int32)
        differing = {name: values[rows] for name, values in self.orders.items() if len(np.unique(values[rows])) > 1}
        return {name: rows[np.argsort(-values, kind="stable")] for name, values in differing.items()}

    def unconstrained(self, count: Count, k: int) -> Group:
        """Return the group of k candidates without any constraint; computed once for each k."""
        groups = self._unconstrained
        if (count, k) not in groups:
            groups[count, k] = select_group(self.audiences[count], Constraints(k, self.eligible))
        return groups[count, k]

    @cached_property
    def _unconstrained(self) -> dict[tuple[Count, int], Group]:
        return {}

    @cached_property
    def networks(self) -> tuple[np.ndarray, list[str]]:
        """The network of each row, the one where the user has the largest expected audience, and the networks' names.

        Raises
        ------
        ScopeError : there are no scores by network

        """
        scopes = self.scores.column("scope").cast(pa.string())
        of_networks = np.flatnonzero(pc.starts_with(scopes, NETWORK).to_numpy(zero_copy_only=False))
        if not len(of_networks):
            raise ScopeError(
                "a limit per network needs scores by network, and there are none: make the snapshot anew with "
                "'clout score EVENTS --scope all --scope network:*', or answer from the events: clout pick --events "
                "EVENTS."
            )
        users = self._users
        order = of_networks[np.argsort(-self.expected_audience[of_networks], kind="stable")]
        ids, names = (column.take(pa.array(order)).to_pylist() for column in (users, scopes))
        largest = pd.Series(names, index=ids).groupby(level=0, sort=False).first().str.removeprefix(NETWORK)
        codes, networks = pd.factorize(largest, sort=True)
        by_row = pd.Series(codes, index=largest.index).reindex(users.to_pylist(), fill_value=-1)
        return by_row.to_numpy(), [str(name) for name in networks]

    def user(self, row: int) -> str:
        """Return the id of the user of a row."""
        return str(self._users[row].as_py())

    def rows_of(self, users: Sequence[str]) -> dict[str, int]:
        """Return the rows of those users who are candidates."""
        rows = {user: self._row_of(user) for user in dict.fromkeys(users)}
        return {user: row for user, row in rows.items() if row is not None and self.eligible[row]}

    def _row_of(self, user: str) -> int | None:
        rows = rows_of_user(self._users, user)
        return next((row for row in rows if self.scores.column("scope")[row].as_py() == self.scope), None)

    @cached_property
    def _users(self) -> pa.Array:
        return self.scores.column("user").combine_chunks()


def snapshot_candidates(snapshot: Snapshot, scope: str = "all") -> Candidates:
    """Return the visible users of a snapshot who have a score of a scope.

    Raises
    ------
    NoAudiencesError, SnapshotError : the snapshot holds no audiences, or is damaged
    ScopeError : nobody has a score of the scope

    """
    hidden = snapshot.hidden()
    hidden_before, candidates = snapshot.derived.get(("candidates", scope), (None, None))
    if hidden_before is not hidden:
        candidates = _snapshot_candidates(snapshot, scope, hidden)
        snapshot.derived["candidates", scope] = hidden, candidates
    return cast("Candidates", candidates)


def _snapshot_candidates(snapshot: Snapshot, scope: str, hidden: OptedOutUsers) -> Candidates:
    snapshot.ranking.matches(SearchQuery(scope))  # refuses a scope that nobody has
    stored, model = snapshot.audiences, selection_model(snapshot.bundle)
    if model is None:
        raise NoAudiencesError("the snapshot's model holds no selection model: make the snapshot anew.")
    rows = hidden_rows(snapshot.scores.column("user").combine_chunks(), hidden, snapshot.cleared)
    facts = snapshot.as_of, snapshot.model_version, snapshot.horizon_days
    return Candidates(*facts, scope, snapshot.scores, stored, rows, model)


def scope_of(topic: str | None, network: str | None, scope: str = "all") -> str:
    """Return the scope that a topic or a network names.

    Raises
    ------
    ConfigError : more than one of topic, network and scope is named, or one of them is empty

    """
    if "" in (topic, network):
        raise ConfigError(f"the {'topic' if topic == '' else 'network'} is empty; expected its name.")
    named = [name for name in (topic and f"topic:{topic}", network and f"network:{network}") if name]
    if len(named) > 1 or (named and scope != "all"):
        raise ConfigError("a topic and a network are two scopes: name one of them.")
    return named[0] if named else scope
