"""Charts of a report: calibration and attacks."""

import pytest

from serving.pages.model_report import Alliance, PeopleAxis, attacks, calibration


def test_predicted_and_real_audiences_share_an_axis(report):
    chart = calibration(report, 0.9)
    assert [(band.predicted_at, band.happened_at) for band in chart.bands] == [(25.0, 0.0), (75.0, 100.0)]
    assert chart.marks == ((0.01, 0.0), (0.1, 25.0), (1.0, 50.0), (10.0, 75.0), (100.0, 100.0))
    assert (chart.total, chart.coverage, chart.level) == (0.91, 0.93, 0.9)


def test_an_axis_of_zeros_has_a_length():
    assert PeopleAxis([]).marks == ((1.0, 0.0), (10.0, 100.0))
    assert PeopleAxis([0.0]).percent(0.0) == 0.0


def test_attacks_are_ordered_by_their_gain(attack_result, attack_report):
    chart = attacks(
        attack_report(
            attack_result(),
            attack_result(description="old accounts", gain_median=5.0, within_limit=False, mode="training"),
        )
    )
    assert [bar.description for bar in chart.bars] == ["old accounts", "20 members like"]
    assert [bar.learnt for bar in chart.bars] == [True, False]
    assert not chart.within_limits
    assert chart.bars[1].gain_at == pytest.approx(100 * 2 / 30, abs=0.01)
    assert chart.bars[1].baseline_at == pytest.approx(100 * 23 / 30, abs=0.01)


def test_alliances_are_shown_if_they_were_measured(attack_result, attack_report):
    report = attack_report(attack_result())
    assert attacks(report).alliances == ()
    alliance = {"description": "a friend", "people": 1, "gain_median": 2.0, "people_gain_median": 1.5}
    report["gate"]["attacks"]["alliances"] = [alliance | {"people_limit": 1.25, "within_limit": False}]
    chart = attacks(report)
    assert chart.alliances == (Alliance("a friend", 1, 2.0, 1.5, 1.25, within_limit=False),)
    assert chart.within_limits


def test_a_loss_has_no_bar(attack_result, attack_report):
    assert attacks(attack_report(attack_result(gain_median=-3.0))).bars[0].gain_at == 0.0


@pytest.mark.parametrize("document", [{}, {"gate": {}}, {"gate": {"attacks": {"not_measured": "no events"}}}])
def test_attacks_that_were_not_measured_have_no_chart(document):
    assert attacks(document) is None
