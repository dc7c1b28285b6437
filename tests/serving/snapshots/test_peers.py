"""Peers are users with audiences of similar size."""

import pandas as pd

from serving.snapshots.peers import audience_band, peer_columns


def test_peers_share_a_power_of_two_of_audience_size():
    rows = pd.DataFrame({"engagers_365d": [None, 0, 1, 2, 3, 6, 7, 2**40 - 2, 2**40 - 1]}, dtype=float)
    assert audience_band(rows).tolist() == [0, 0, 1, 1, 2, 2, 3, 39, 40]


def test_peers_are_compared_by_the_features_of_the_model():
    """Peers of a model of an earlier version are compared by its features, as its snapshots have no others."""
    columns = ["scope", "engagers_365d", "days_since_last_act", "account_age_days", "days_of_absence"]
    assert peer_columns(["days_of_absence", "early_engagers"]) == [*columns, "early_engagers"]
