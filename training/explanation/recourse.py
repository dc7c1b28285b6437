"""Levers: which changes would raise a score, of those that are in the person's own hands, and what else would."""

from itertools import product

from features.catalogue import CATALOGUE
from training.explanation.counterfactuals import REPETITIONS, Scenario, ScenarioOutcome, what_if
from training.explanation.feature_constraints import ABSENT, heard_by
from training.explanation.peer_ranges import PeerValues
from training.explanation.reasons import LEAST_POINTS
from training.model.bundle import Bundle
from training.model.feature_row import FeatureRow

LATELY = "credible_engagers_28d"


def actionable_recourse(bundle: Bundle, person: FeatureRow, peers: PeerValues) -> tuple[ScenarioOutcome, ...]:
    """Find what the person could change alone: the smallest change first, and only what gains half a point or more.

    Looked at are the end of absence, fewer repetitions at values that peers show (`PeerValues.levels`), and both at
    once. A single act ends an absence, a first one too, so nothing is asked there but an end. Of changes that ask more
    than another, only those are given that gain half a point more than it. All that moves stays within what peers show.

    Parameters
    ----------
    bundle : the model
    person : who
    peers : what peers show

    """
    own = [name for name in bundle.features if CATALOGUE[name].actionable]
    back = [{ABSENT: 0.0}] if ABSENT in own and person[ABSENT] > 0 else []
    levels = peers.levels(REPETITIONS) if REPETITIONS in own else []
    fewer = [{REPETITIONS: value} for value in levels if value < person[REPETITIONS]]
    both = [one | other for one, other in product(back, fewer)]
    found = what_if(bundle, person, [Scenario(asked, {}) for asked in (*back, *fewer, *both)], peers)
    return _front([outcome for outcome in found if _shown(outcome)])


def needed_engagers(bundle: Bundle, person: FeatureRow, peers: PeerValues) -> ScenarioOutcome | None:
    """Find what is in others' hands: by how many more credible people would have to respond to gain half a point.

    The least that peers show is given, None where nobody is heard more than the person and stands higher.
    """
    if LATELY not in bundle.features:
        return None
    more = [value - person[LATELY] for value in peers.different(LATELY) if value > person[LATELY]]
    found = what_if(bundle, person, [more_heard(person, people) for people in more], peers)
    return next((outcome for outcome in found if outcome.gain >= LEAST_POINTS), None)


def more_heard(person: FeatureRow, people: float) -> Scenario:
    """Let more credible people respond in the last 28 days who had not in the year before, as `heard_by` has it."""
    values = {name: person[name] + more for name, more in heard_by(person, people, people).items()}
    return Scenario({LATELY: values.pop(LATELY)}, values)


def _shown(outcome: ScenarioOutcome) -> bool:
    """Say whether peers show all that the model sees of an outcome, which gains half a point."""
    seen = (change for change in outcome.changes if CATALOGUE[change.feature].direction != "none")
    return outcome.gain >= LEAST_POINTS and not any(change.outside for change in seen)


def _front(found: list[ScenarioOutcome]) -> tuple[ScenarioOutcome, ...]:
    """Keep, from the smallest change up, what gains half a point more than all that asks less."""
    kept: list[ScenarioOutcome] = []
    for outcome in sorted(found, key=lambda outcome: (outcome.asks, -outcome.gain)):
        if not kept or outcome.gain >= kept[-1].gain + LEAST_POINTS:
            kept.append(outcome)
    return tuple(kept)
