"""The order of those who are shown: everybody's, without whoever is hidden."""

from bisect import bisect_left

import numpy as np
import pyarrow as pa

from serving.snapshots.search import Ranking
from training.opt_outs import NOBODY, LeftOut


class Visible:
    """The ranking of a snapshot's people who are shown, made anew when others are hidden than before.

    Those whose ids are known are found by bisection. Where there are some of whom only a hash is known who came in
    after the snapshot was written, everybody is held against it once, which takes a second for a million people.

    Parameters
    ----------
    scores : of a snapshot, ordered by user
    cleared : the last change of `LeftOut` that the snapshot was written after: it holds nobody who was out by then

    """

    def __init__(self, scores: pa.Table, cleared: int):
        self._users = scores.column("user").combine_chunks()
        self._everybody = Ranking(scores)
        self._cleared = cleared
        self._held: tuple[LeftOut, Ranking] = NOBODY, self._everybody

    def ranking(self, hidden: LeftOut) -> Ranking:
        """Return the order of those who are not hidden."""
        known, ranking = self._held
        if known is not hidden:
            ranking = self._everybody.without(places(self._users, hidden, self._cleared))
            self._held = hidden, ranking
        return ranking


def places(users: pa.Array, hidden: LeftOut, cleared: int = 0) -> np.ndarray:
    """Return where hidden people stand among users in order, who may stand there several times."""
    if hidden.unnamed_since(cleared):
        return np.flatnonzero([user in hidden for user in users.to_pylist()])
    found = [place for user in hidden.named for place in _of(users, user)]
    return np.array(found, dtype=np.int64)


def _of(users: pa.Array, user: str) -> range:
    first = bisect_left(users, user, key=lambda found: found.as_py())
    end = first
    while end < len(users) and users[end].as_py() == user:
        end += 1
    return range(first, end)
