"""What would change a score: suggestions, and sliders over what is in the user's hands."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, isnan

from features.catalogue import CATALOGUE
from features.catalogue.originality import EXCESS_REPETITIONS, most_excess_repetitions
from features.errors import CloutError
from serving.pages.formats import feature_name
from serving.review.what_if import WhatIf, simulate_change, suggest_changes
from serving.snapshots.snapshot import Snapshot
from training.explanation.feature_constraints import ABSENT
from training.model.scale import Scale

AWAY, MOST_AWAY = "away_days", 90
AWAY_LABEL = "Days without any activity from now on"


@dataclass(frozen=True)
class Slider:
    """A slider: its parameter, label, range and present value, and the value it is set to."""

    name: str
    label: str
    most: int
    present: int
    value: int


@dataclass(frozen=True)
class WhatIfView:
    """What would change a score.

    Parameters
    ----------
    suggestions : changes that raise the score; None with too little evidence
    sliders : what the user controls
    result : the outcome of the sliders; None while none is moved
    scale : from people to points
    problem : why something cannot be answered

    """

    suggestions: WhatIf | None
    sliders: tuple[Slider, ...]
    result: WhatIf | None
    scale: Scale
    problem: str | None = None


def what_if_view(
    snapshot: Snapshot, user: str, scope: str, settings: Mapping[str, str], with_suggestions: bool = True
) -> WhatIfView:
    """Answer what would change a score.

    Parameters
    ----------
    snapshot, user, scope : the score
    settings : values of sliders by parameter; texts that are not whole numbers are ignored
    with_suggestions : leave these out to answer faster

    """
    scale = snapshot.bundle.scale
    try:
        sliders = _sliders(snapshot, user, scope, settings)
        suggestions = suggest_changes(snapshot, user, scope) if with_suggestions else None
    except CloutError as error:
        return WhatIfView(None, (), None, scale, str(error))
    changes = {s.name: float(s.value) for s in sliders if s.name != AWAY and s.value != s.present}
    away = next((s.value for s in sliders if s.name == AWAY and s.value), None)
    try:
        result = simulate_change(snapshot, user, scope, changes, away) if changes or away else None
    except CloutError as error:
        return WhatIfView(suggestions, sliders, None, scale, str(error))
    return WhatIfView(suggestions, sliders, result, scale)


def _sliders(snapshot: Snapshot, user: str, scope: str, settings: Mapping[str, str]) -> tuple[Slider, ...]:
    row = snapshot.feature_row(user, scope)
    names = [name for name in snapshot.bundle.features if CATALOGUE[name].actionable]
    peers = snapshot.peer_ranges.of(scope, row)
    sliders = []
    for name in names:
        present = _whole_count(row[name])
        most = max(present, ceil(max(peers.distinct(name), default=0)))
        if name == ABSENT:  # days away from now on have a slider of their own
            most = present
        if name == EXCESS_REPETITIONS:
            most = min(most, int(most_excess_repetitions(_whole_count(row["created_90d"]))))
        if most > 0:
            sliders.append(_slider(name, most, present, settings))
    return (*sliders, _slider(AWAY, MOST_AWAY, 0, settings))


def _whole_count(value: float) -> int:
    """Round a value; an unknown one counts as 0."""
    return 0 if isnan(value) else round(value)


def _slider(name: str, most: int, present: int, settings: Mapping[str, str]) -> Slider:
    text = settings.get(name, "")
    value = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else present
    label = AWAY_LABEL if name == AWAY else feature_name(name)
    return Slider(name, label, most, present, min(value, most))
