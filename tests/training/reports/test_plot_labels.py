import pytest

from features.catalogue import CATALOGUE, SCORED
from training.reports.plots import is_share, label, meaning


@pytest.mark.parametrize(
    ("feature", "text"),
    [
        ("credible_engagers_decayed_28d", "credible engagers, decayed, 28 days"),
        ("credible_periods_168d", "credible periods, 168 days"),
        ("regularity_52w", "regularity, 52 weeks"),
        ("engagers_ever", "engagers, ever"),
        ("account_age_days", "account age, days"),
        ("followers", "followers"),
    ],
)
def test_label_by_hand(feature, text):
    assert label(feature) == text


def test_labels_and_meanings_are_unique():
    assert len({label(feature.name) for feature in CATALOGUE}) == len(CATALOGUE)
    assert len({meaning(feature.name) for feature in SCORED}) == len(SCORED)


def test_meaning_comes_from_the_catalogue():
    assert meaning("account_age_days") == CATALOGUE["account_age_days"].meaning
    assert (
        CATALOGUE["credible_periods_168d"].meaning
        == f"{meaning('credible_periods_168d')}; anonymous responses count in full"
    )
    assert meaning("klout_7d") == "klout, 7 days"


def test_is_share():
    assert is_share("repeated_share_90d")
    assert not is_share("account_age_days")
    assert not is_share("klout")
