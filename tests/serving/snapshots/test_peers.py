"""Peers and what is typical among them."""

import pandas as pd
import pytest

from serving.snapshots.peers import PeerMedians, audience_band, median_features
from training.model.bundle import feature_row


def test_peers_share_a_power_of_two_of_audience_size():
    rows = pd.DataFrame({"engagers_365d": [None, 0, 1, 2, 3, 6, 7, 2**40 - 2, 2**40 - 1]}, dtype=float)
    assert audience_band(rows).tolist() == [0, 0, 1, 1, 2, 2, 3, 39, 40]


@pytest.fixture
def people():
    """Bands by engagers: 0 and unknown are none, 3 and 6 are band 2."""
    records = [
        ("ann", "all", 3.0, 1.0, None),
        ("bob", "all", 6.0, 3.0, None),
        ("cat", "all", 5.0, 8.0, None),
        ("dan", "all", 0.0, None, 2.0),
        ("eve", "all", None, 4.0, 5.0),
        ("ann", "topic:x", 3.0, 99.0, 1.0),
    ]
    return pd.DataFrame(records, columns=["user", "scope", "engagers_365d", "posts", "links"])


def test_medians_ignore_unknown_values(people):
    medians = median_features(people)
    assert list(medians) == ["scope", "band", "engagers_365d", "posts", "links"]
    records = [[None if pd.isna(value) else value for value in row] for row in medians.itertuples(index=False)]
    assert records == [["all", 0, 0.0, 4.0, 3.5], ["all", 2, 5.0, 3.0, None], ["topic:x", 2, 3.0, 99.0, 1.0]]


def test_medians_are_those_of_a_users_peers(people):
    typical = PeerMedians(median_features(people))
    features = people.drop(columns=["user", "scope"])
    assert typical.of("all", feature_row(features.iloc[[1]])) == {"engagers_365d": 5.0, "posts": 3.0, "links": None}
    assert typical.of("topic:x", feature_row(features.iloc[[5]]))["posts"] == 99.0
    assert typical.of("all", feature_row(features.iloc[[4]])) == {"engagers_365d": 0.0, "posts": 4.0, "links": 3.5}


def test_medians_of_no_rows_are_empty(people):
    assert median_features(people[:0]).empty
