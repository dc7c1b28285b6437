"""Repeated posts: a few cost nothing, and most bots that repeat themselves score below the median."""

import ibis
import pytest

from features.events.event_table import open_events
from tests.benchmarks.repeats import bots_below_median, repeating


def test_few_repetitions_cost_nothing_and_many_never_add_points(simulated, bundle):
    once, _, often = repeating(open_events(simulated.events), bundle, simulated.as_of, members=40, times=(1, 2, 20))
    assert once["members"] == 40
    assert once["lost_median"] == once["lost_p95"] == pytest.approx(0.0, abs=1e-9)
    assert often["lost_p95"] >= often["lost_median"] >= 0.0


def test_repetitions_require_content_hashes(simulated, bundle):
    events = open_events(simulated.events)
    without = events.mutate(content_hash=ibis.null("string"))
    assert repeating(without, bundle, simulated.as_of) == []


def test_most_bots_that_repeat_score_below_the_median(simulated, bundle):
    truth = simulated.truth.reset_index()
    assert bots_below_median(open_events(simulated.events), truth, bundle, simulated.as_of) > 0.5
