import pytest

from features.catalogue import CATALOGUE
from training.explanation.reasons import LEAST_POINTS, MOST_OF_A_FAMILY, MOST_REASONS, Line, facts, reasons, subject


def lines(*rows):
    """Return lines made from (feature, family, points)."""
    return [Line(feature, family, 1.0, points, f"{feature} {points}.") for feature, family, points in rows]


def sentences(items):
    return [reason.sentence for reason in items]


def test_reasons_on_both_sides_strongest_first():
    items = lines(("a", "reach", 1.0), ("b", "reach", -3.0), ("c", "network", 2.0), ("d", "cadence", -4.0))
    pro, contra = reasons(items)
    assert (sentences(pro), sentences(contra)) == (["c 2.0.", "a 1.0."], ["d -4.0.", "b -3.0."])


def test_at_most_three_reasons():
    items = lines(*[(f"f{k}", f"family {k}", float(k)) for k in range(1, 9)])
    assert [reason.points for reason in reasons(items)[0]] == [8, 7, 6]
    assert MOST_REASONS == 3


def test_reasons_have_at_least_half_a_point():
    items = lines(("a", "reach", 0.5), ("b", "reach", 0.49), ("c", "network", -0.5), ("d", "network", -0.49))
    pro, contra = reasons(items)
    assert (sentences(pro), sentences(contra)) == (["a 0.5."], ["c -0.5."])
    assert LEAST_POINTS == 0.5


def test_at_most_three_reasons_of_a_family():
    items = lines(*((name, "reach", 9.0 - k) for k, name in enumerate("abcd")), ("e", "cadence", 1.0))
    assert sentences(reasons(items, most=5)[0]) == ["a 9.0.", "b 8.0.", "c 7.0.", "e 1.0."]
    assert MOST_OF_A_FAMILY == 3


RATE, LATELY = "responder_rate_365d", "credible_engagers_decayed_28d"


@pytest.mark.parametrize(
    ("rows", "stated"),
    [
        # the same people, both lines positive: one reason with both sentences
        ([(LATELY, "B.", 5.0), (RATE, "A.", 2.0)], {+1: [("A. B.", 7.0, (RATE, LATELY))], -1: []}),
        ([(LATELY, "B.", -5.0), (RATE, "A.", -0.2)], {+1: [], -1: [("A. B.", -5.2, (RATE, LATELY))]}),
        # the same people, lines of opposite sign: two reasons
        ([(LATELY, "B.", -5.0), (RATE, "A.", 2.0)], {+1: [("A.", 2.0, (RATE,))], -1: [("B.", -5.0, (LATELY,))]}),
        # the same sentence: one reason
        (
            [(LATELY, "Nobody.", -5.0), (RATE, "Nobody.", -2.0), ("posts", "Nobody.", -3.0)],
            {+1: [], -1: [("Nobody.", -10.0, (RATE, LATELY, "posts"))]},
        ),
    ],
)
def test_a_fact_is_one_reason(rows, stated):
    items = [Line(feature, "reach", 1.0, points, sentence) for feature, sentence, points in rows]
    for side, expected in zip(reasons(items), (stated[+1], stated[-1]), strict=True):
        assert [(r.sentence, r.points, r.features) for r in side] == expected
    merged = facts(items)
    assert sum(line.points for line in merged) == pytest.approx(sum(line.points for line in items))
    assert len({line.sentence for line in merged}) == len(merged)


def test_windows_of_a_subject_make_one_reason_with_the_strongest_sentence():
    items = lines(
        ("engagers_7d", "reach", 1.0),
        ("engagers_28d", "reach", 2.0),
        ("engagers_decayed_28d", "reach", 0.4),
        ("engagers_ever", "reach", -0.3),
        ("followers", "reach", 2.5),
    )
    (first, second), _ = reasons(items)
    assert (first.sentence, first.points) == ("engagers_28d 2.0.", pytest.approx(3.1))
    assert first.features == ("engagers_28d", "engagers_7d", "engagers_decayed_28d", "engagers_ever")
    assert second.sentence == "followers 2.5."


def test_a_subject_is_a_reason_on_one_side_only():
    items = lines(("engagers_7d", "reach", 2.0), ("engagers_365d", "reach", -5.0))
    pro, (against,) = reasons(items)
    assert pro == []
    assert (against.sentence, against.points) == ("engagers_365d -5.0.", -3.0)


def test_windows_that_cancel_out_are_no_reason():
    items = lines(("engagers_7d", "reach", 5.0), ("engagers_365d", "reach", -4.8))
    assert reasons(items) == ([], [])


def test_a_reason_needs_a_line_of_half_a_point():
    items = lines(("engagers_7d", "reach", 0.4), ("engagers_28d", "reach", 0.4))
    assert reasons(items) == ([], [])


@pytest.mark.parametrize(
    ("feature", "name"),
    [
        ("engagers_7d", "engagers"),
        ("engagers_ever", "engagers"),
        ("engagers_decayed_28d", "engagers"),
        ("engagers_per_piece_90d", "engagers_per_piece"),
        ("weeks_active_52w", "weeks_active"),
        ("weeks_active_decayed_8w", "weeks_active"),
        ("followers", "followers"),
        ("account_age_days", "account_age_days"),
    ],
)
def test_subjects_of_features(feature, name):
    assert subject(feature) == name


def test_no_sentence_of_the_catalogue_is_a_feature_name():
    for feature in CATALOGUE:
        for value in (None, 0.0, 0.5, 3.0, 12_345.6):
            assert "_" not in feature.describe(value), feature.name
