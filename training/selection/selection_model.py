"""Selection model: what a group's expected reach is computed with, fitted on past horizons and measured out of time."""

from collections.abc import Sequence
from copy import copy
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from features.catalogue import SCORED
from features.events.encoding import EncodedEvents, cached, cached_users
from features.events.scopes import ALL
from features.feature_table import KEYS
from features.progress import Progress, ignore_progress
from training.config import Config
from training.dataset.labels import ENGAGERS
from training.dataset.panel import Split, in_scope, rows_at
from training.dataset.sampling import DRAWN
from training.model.booster import fit_booster, margins
from training.model.bundle import Bundle
from training.selection.audiences import Audiences, expected_audiences
from training.selection.calibration import Calibration, fit_calibration
from training.selection.coverage import Constraints, select_group
from training.selection.file_arrays import mapped_zeros, user_parts
from training.selection.pairs import Engagements, Pairs, read_engagements, read_pairs, weight_by_key
from training.selection.return_model import ReturnModel, fit_return_model

SELECTION_FACT = "selection"
CORRECTION = "correction"
SIZES = (5, 10, 20, 50)
MOST_CUTOFFS = 6
RANGE_LEVEL, USUAL_SPREAD, SPREAD_PRIOR = 0.8, 0.2, 2
MOST_ROWS = 100_000
POOL_SHARES = np.geomspace(0.02, 20.0, 61)
USUAL_POOL_SHARE, POOL_SHARE_PRIOR = 0.25, 2.0


@dataclass(frozen=True)
class SelectionModel:
    """What turns pairs and expected audiences into the reach of a group.

    Parameters
    ----------
    returning : the probability that a pair engages again
    pool_share : the pool of strangers, per person who engaged with anybody within the last horizon
    errors : for each of SIZES, real over predicted reach of the group of that size, one for each past horizon
    credible_errors : the same where people count as far as established ones vouch for them at the horizon's end
    calibration : the correction of expected audiences

    """

    returning: ReturnModel
    pool_share: float
    errors: dict[int, list[float]]
    credible_errors: dict[int, list[float]] = field(default_factory=dict)
    calibration: Calibration = field(default_factory=Calibration)

    def audiences(self, pairs: Pairs, expected: np.ndarray) -> Audiences:
        """Return audiences of users of one scope that agree with their corrected expected audiences, shape (users,)."""
        pool = self.pool_share * active_engagers(pairs, self.returning.horizon_days)
        probability = self.returning.probability(pairs)
        corrected = self.calibration.corrected(pairs, probability, expected)
        return expected_audiences(pairs.starts, pairs.engagers, probability, corrected, pool)

    def errors_of(self, size: int, credible: bool = False) -> list[float]:
        """Return real over predicted reach of past groups of about a size, one for each past horizon; none if unknown.

        `credible` says whether people count as far as established ones vouch for them.
        """
        errors = self.credible_errors if credible else self.errors
        measured = [other for other in SIZES if errors.get(other)]
        return errors[min(measured, key=lambda other: (abs(other - size), other))] if measured else []

    def error_range(self, size: int, credible: bool = False) -> tuple[float, float] | None:
        """Return between what real over predicted reach lies in 8 of 10 cases; None where no horizon is past.

        It is the prediction interval of a normal distribution (Student's t) of the logarithms of `errors_of`. Few
        horizons show little of their spread: it is drawn towards `USUAL_SPREAD`, as if by `SPREAD_PRIOR` more of them.
        """
        logarithms = np.log(self.errors_of(size, credible))
        if not (count := len(logarithms)):
            return None
        freedom = count - 1 + SPREAD_PRIOR
        squares = count * logarithms.var() + SPREAD_PRIOR * USUAL_SPREAD**2
        spread = np.sqrt(squares / freedom * (1 + 1 / count)) * stdtrit(freedom, (1 + RANGE_LEVEL) / 2)
        low, high = np.exp(logarithms.mean() + np.array([-spread, spread])).tolist()
        return low, high

    def as_json(self) -> dict[str, Any]:
        """Return the model as JSON values."""
        returning = asdict(self.returning) | {"coefficients": list(self.returning.coefficients)}
        by_count = {"errors": self.errors, "credible_errors": self.credible_errors}
        errors = {name: {str(size): of_size for size, of_size in by_size.items()} for name, by_size in by_count.items()}
        return {"returning": returning, "pool_share": self.pool_share, **errors, CORRECTION: asdict(self.calibration)}


def with_selection(bundle: Bundle, model: SelectionModel | None) -> Bundle:
    """Return a bundle that holds a selection model among its facts."""
    return bundle.with_facts({SELECTION_FACT: None if model is None else model.as_json()})


def selection_model(bundle: Bundle) -> SelectionModel | None:
    """Return the selection model of a bundle; None where its label weighs people, or it was made without one."""
    document = bundle.facts.get(SELECTION_FACT)
    if document is None:
        return None
    returning = document["returning"]
    errors, credible_errors = (
        {int(size): of_size for size, of_size in document.get(name, {}).items()}
        for name in ("errors", "credible_errors")
    )
    return SelectionModel(
        ReturnModel(tuple(returning["coefficients"]), returning["horizon_days"]),
        document["pool_share"],
        errors,
        credible_errors,
        Calibration(**document.get(CORRECTION, {})),
    )


def active_engagers(pairs: Pairs, horizon_days: int) -> int:
    """Return how many people engaged with anybody in the last horizon."""
    return int(engages(pairs, horizon_days).sum())


def engages(pairs: Pairs, horizon_days: int) -> np.ndarray:
    """Return which rows engaged with anybody in the last horizon, bool, shape (rows,)."""
    active = mapped_zeros(len(pairs.weight), np.bool_)
    for _, part in user_parts(pairs.starts):
        active[pairs.engagers[part][pairs.days[part] < horizon_days]] = True
    return active


@dataclass(frozen=True)
class PastHorizon:
    """The pairs at a past cutoff, what each person counts then, who returned, and who engaged in the horizon after."""

    cutoff: datetime
    rows: pd.DataFrame
    pairs: Pairs
    weight_by_key: pd.Series
    ahead: Engagements
    returned: np.ndarray


def fit_selection_model(
    events: EncodedEvents, panel: pd.DataFrame, split: Split, config: Config, progress: Progress = ignore_progress
) -> SelectionModel | None:
    """Fit on the newest cutoffs of a panel, in the scope `all`; None where the label weighs people.

    Each past horizon is predicted by models that are fitted on earlier ones alone, and calibrated by the other ones.
    The size of the pool is the one that predicts best what the largest expected audiences reached together, drawn
    towards `USUAL_POOL_SHARE` where few horizons are past.
    """
    if config.outcome.label != ENGAGERS:
        return None
    horizon, past = config.outcome.horizon_days, []
    cutoffs = split.cutoffs[-MOST_CUTOFFS:]
    with cached(events) as shared:
        for k, cutoff in enumerate(cutoffs):
            past.append(_past_horizon(shared, panel, cutoff, horizon))
            progress((k + 1) / len(cutoffs))
        weights = [one.weight_by_key for one in past[1:]] + [_weights_at_end(shared, split, horizon)]
    tests = [_Test(past[:k], past[k], weights[k], panel, split, config) for k in range(1, len(past))]
    calibrated = [
        test.calibrated(_calibration([other for other in tests if other is not test] or [test])) for test in tests
    ]
    share = _pool_share(calibrated)
    return SelectionModel(
        fit_return_model([(one.pairs, one.returned) for one in past], horizon),
        share,
        _errors(calibrated, share),
        _errors(calibrated, share, credible=True),
        _calibration(tests),
    )


def _past_horizon(events: EncodedEvents, panel: pd.DataFrame, cutoff: datetime, horizon_days: int) -> PastHorizon:
    rows = _all_rows(events, panel, cutoff)
    pairs = read_pairs(events, cutoff, rows)
    ahead = read_engagements(events, cutoff, horizon_days, rows)
    return PastHorizon(cutoff, rows, pairs, weight_by_key(events, rows, pairs), ahead, ahead.returned(pairs))


def _all_rows(events: EncodedEvents, panel: pd.DataFrame, cutoff: datetime) -> pd.DataFrame:
    """Return the rows of a cutoff in the scope `all`; where they are sampled, other users too, with unknown features.

    Otherwise people who are not in the sample would be strangers.
    """
    rows = in_scope(rows_at(panel, cutoff), ALL)
    if DRAWN not in panel:
        return rows
    with cached_users(events) as users:
        everybody = users.filter(users.scope == ALL).select(*KEYS).order_by(*KEYS).to_pandas()
    joined: pd.DataFrame = everybody.merge(rows[[*KEYS, *SCORED.names]], on=KEYS, how="left")
    return joined


def _weights_at_end(events: EncodedEvents, split: Split, horizon_days: int) -> pd.Series:
    """Return what people count at the end of the newest horizon, by key."""
    with cached_users(events) as users:
        rows = users.filter(users.scope == ALL).select(*KEYS).to_pandas()
    return weight_by_key(events, rows, read_pairs(events, split.newest + timedelta(days=horizon_days), rows))


class _Test:
    """A past horizon, predicted from what was known before it."""

    def __init__(
        self,
        earlier: Sequence[PastHorizon],
        test: PastHorizon,
        weights_at_end: pd.Series,
        panel: pd.DataFrame,
        split: Split,
        config: Config,
    ):
        before = [cutoff for cutoff in split.cutoffs if cutoff < test.cutoff]
        booster = fit_booster(rows_at(panel, *before, most=MOST_ROWS, seed=config.model.seed), config.model)
        self.expected = np.exp(margins(booster, test.rows))
        self.pairs, self.ahead = test.pairs, test.ahead
        self._returning = fit_return_model([(one.pairs, one.returned) for one in earlier], config.outcome.horizon_days)
        self._weights_at_end = test.ahead.weights(weights_at_end)
        self.sizes = [size for size in SIZES if size <= len(self.expected)]
        self._of_active = self._audiences(Calibration())

    @property
    def predicted(self) -> tuple[Pairs, np.ndarray, np.ndarray]:
        """What a calibration corrects: the pairs, their probabilities and the expected audiences."""
        return self.pairs, self._returning.probability(self.pairs), self.expected

    def calibrated(self, calibration: Calibration) -> "_Test":
        """Return the test whose predictions are corrected."""
        test = copy(self)
        test._of_active = self._audiences(calibration)
        return test

    def _audiences(self, calibration: Calibration) -> Audiences:
        return SelectionModel(self._returning, 1.0, {}, calibration=calibration).audiences(self.pairs, self.expected)

    def audiences(self, pool_share: float, credible: bool = False) -> Audiences:
        """Return the predicted audiences."""
        audiences = replace(self._of_active, pool=max(self._of_active.pool * pool_share, 1.0))
        return audiences.counting(self.pairs.weight) if credible else audiences

    def errors(self, group: Sequence[int], audiences: Audiences, credible: bool = False) -> list[float]:
        """Return real over predicted reach of a group's prefixes of each size; nobody counts as one person."""
        real = self.ahead.reach(group, self._weights_at_end if credible else None)
        predicted = audiences.reach(group)
        ends = [min(size, len(group)) - 1 for size in self.sizes]
        return [max(float(real[end]), 1.0) / max(float(predicted[end]), 1e-9) for end in ends if end >= 0]


def _calibration(tests: Sequence[_Test]) -> Calibration:
    return fit_calibration([(*test.predicted, test.ahead.audiences) for test in tests])


def _pool_share(tests: Sequence[_Test]) -> float:
    """Return the share whose predictions have the smallest squared logarithm of real over predicted reach.

    The prior has the weight of `POOL_SHARE_PRIOR` groups whose error is that of the share.
    """
    losses = POOL_SHARE_PRIOR * np.log(POOL_SHARES / USUAL_POOL_SHARE) ** 2
    for test in tests:
        largest = np.argsort(-test.audiences(1.0).reach_of_each, kind="stable")[: max(SIZES)].tolist()
        for k, share in enumerate(POOL_SHARES):
            losses[k] += sum(np.log(error) ** 2 for error in test.errors(largest, test.audiences(share)))
    return float(POOL_SHARES[np.argmin(losses)])


def _errors(tests: Sequence[_Test], pool_share: float, credible: bool = False) -> dict[int, list[float]]:
    errors: dict[int, list[float]] = {size: [] for size in SIZES}
    for test in tests:
        audiences = test.audiences(pool_share, credible)
        everybody = np.ones(audiences.users, dtype=bool)
        group = select_group(audiences, Constraints(max(SIZES), everybody)).users
        for size, error in zip(test.sizes, test.errors(group, audiences, credible), strict=False):
            errors[size].append(error)
    return errors
