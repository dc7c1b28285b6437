"""Feature sets: the features that training, scoring and attacks compute, and no others."""

from collections.abc import Iterable

from features.catalogue import CATALOGUE, INPUTS
from features.catalogue.wording import UNCOUNTED

EVIDENCE_FEATURES = ("acts_365d", "engagements_365d")  # too few of them together: no score
EVIDENCE_PEOPLE = "engagers_365d"  # how many people a score rests on
BASELINE_FEATURES = {
    "followers": "followers",
    "engagers": "engagers_365d",
    "recent_engagers": "engagers_28d",
    "decayed_engagers": "engagers_decayed_28d",
    "activity": "acts_365d",
}
SLICE_FEATURES = (*EVIDENCE_FEATURES, EVIDENCE_PEOPLE, "account_age_days", "reply_share_90d")
EXPLANATION_FEATURES = (
    *EVIDENCE_FEATURES,
    EVIDENCE_PEOPLE,  # also decides which users are peers
    "account_age_days",
    "days_since_last_act",
    "unknown_share_90d",  # whether anonymous engagement counts
    "created_90d",
    "followers",  # beside a selected group
    "engagers_90d",  # with the next, totals that `clout explain --events` counts again
    "pieces_drawing_90d",
    *(f"credible_engagers_{days}d" for days in (28, 90, 365)),
    "credible_pace_28d",  # what if: which features move together
    "credible_pieces_drawing_28d",
    "credible_pieces_drawing_90d",
    "credible_returning_28d",
    "credible_steady_168d",
    *(f"engagers_{days}d" for days in (7, 28)),  # what happened in the horizon of an earlier snapshot
    *(f"uncounted_{kind}_{days}d" for kind in UNCOUNTED for days in (28, 365)),
)


def panel_features(models: Iterable[Iterable[str]] = ()) -> list[str]:
    """Return what training, baselines and slices read, and the features of other models to compare with."""
    other = {name for features in models for name in features if name in CATALOGUE}
    return _ordered({*INPUTS.names, *BASELINE_FEATURES.values(), *SLICE_FEATURES, *other})


def comparison_features(features: Iterable[str]) -> list[str]:
    """Return a model's features and those of the baselines."""
    return _ordered({*features, *BASELINE_FEATURES.values()})


def snapshot_features(features: Iterable[str]) -> list[str]:
    """Return a model's features and those that its explanations read."""
    return _ordered({*features, *INPUTS.names, *EXPLANATION_FEATURES})


def _ordered(names: set[str]) -> list[str]:
    return [name for name in CATALOGUE.names if name in names]
