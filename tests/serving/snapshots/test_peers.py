"""Peers."""

import pandas as pd

from serving.snapshots.peers import audience_band


def test_peers_share_a_power_of_two_of_audience_size():
    rows = pd.DataFrame({"engagers_365d": [None, 0, 1, 2, 3, 6, 7, 2**40 - 2, 2**40 - 1]}, dtype=float)
    assert audience_band(rows).tolist() == [0, 0, 1, 1, 2, 2, 3, 39, 40]
