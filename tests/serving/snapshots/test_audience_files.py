import shutil

import numpy as np
import pytest

from features.errors import SnapshotError
from serving.privacy.deletion import delete_pending, request_deletion
from serving.selections.candidates import snapshot_candidates
from serving.selections.select import SelectionRequest, select
from serving.snapshots.audience_files import PAIRS_FILE, REACH_FILE, StoredAudiences, map_audiences, write_audiences
from serving.snapshots.repository import open_snapshot
from serving.snapshots.snapshot import NoAudiencesError
from training.home import Home
from training.records.opt_outs import opt_out
from training.selection import file_arrays

ARRAYS = ("pairs", "engagers", "probability", "strangers", "weight", "followers")


@pytest.fixture
def stored():
    """Audiences of three rows: 1 and 2 engaged with 0, and 0 with 2."""
    return StoredAudiences(
        pairs=np.array([2, 0, 1], dtype=np.int32),
        engagers=np.array([1, 2, 0], dtype=np.int32),
        probability=np.array([0.5, 0.25, 0.125], dtype=np.float32),
        strangers=np.array([1.0, 2.0, 3.0]),
        weight=np.array([1.0, 0.5, 0.0]),
        followers=np.array([7, 8, 9], dtype=np.int32),
        pools={"all": 12.0},
    )


def assert_same(one, other):
    for name in ARRAYS:
        assert getattr(one, name).tolist() == getattr(other, name).tolist()
        assert getattr(one, name).dtype == getattr(other, name).dtype
    assert one.pools == other.pools


def test_audiences_round_trip(stored, tmp_path):
    write_audiences(stored, tmp_path)
    assert_same(map_audiences(tmp_path), stored)
    assert map_audiences(tmp_path).audiences("all").reach_of_each.tolist() == [1.75, 2.0, 3.125]


def test_empty_audiences_round_trip(stored, tmp_path):
    none = stored.of_rows(np.zeros(3, dtype=bool))
    write_audiences(none, tmp_path)
    assert_same(map_audiences(tmp_path), none)


def test_removed_rows_are_neither_users_nor_engagers(stored):
    rest = stored.of_rows(np.array([True, False, True]))
    assert (rest.pairs.tolist(), rest.engagers.tolist()) == ([1, 1], [1, 0])
    assert (rest.probability.tolist(), rest.followers.tolist()) == ([0.25, 0.125], [7, 9])


@pytest.fixture
def home(tmp_path, selection_home):
    return Home(shutil.copytree(selection_home.folder, tmp_path / "home"))


def top_member(home):
    selection = select(snapshot_candidates(open_snapshot(home)), SelectionRequest(k=3))
    return selection.members[0].user, selection


def test_an_opt_out_affects_an_open_snapshot_at_once(home):
    snapshot = open_snapshot(home)
    before = select(snapshot_candidates(snapshot), SelectionRequest(k=3))
    opt_out(home, before.members[0].user)
    after = select(snapshot_candidates(snapshot), SelectionRequest(k=3))
    assert before.members[0].user not in [member.user for member in after.members]
    assert all(before.members[0].user not in other.users for other in after.alternatives)
    engaged = snapshot_candidates(snapshot).audiences["everybody"].weight
    assert (engaged == 0).sum() == 1


def test_a_deletion_removes_pairs_and_has_the_effect_of_an_opt_out(home):
    user, _ = top_member(home)
    rows, pairs = (len(x) for x in (open_snapshot(home).audiences.pairs, open_snapshot(home).audiences.engagers))
    opt_out(home, user)
    hidden = select(snapshot_candidates(open_snapshot(home)), SelectionRequest(k=3, count="everybody"))
    request_deletion(home, user)
    (receipt,) = delete_pending(home)
    assert not receipt.failed
    snapshot = open_snapshot(home)
    assert len(snapshot.audiences) == rows - 1
    assert len(snapshot.audiences.engagers) < pairs
    erased = select(snapshot_candidates(snapshot), SelectionRequest(k=3, count="everybody"))
    assert [member.user for member in erased.members] == [member.user for member in hidden.members]
    assert erased.reach == pytest.approx(hidden.reach)


def test_selections_from_an_open_snapshot_survive_a_deletion(home):
    snapshot = open_snapshot(home)
    user, _ = top_member(home)
    request_deletion(home, user)
    delete_pending(home)
    selection = select(snapshot_candidates(snapshot), SelectionRequest(k=3))
    assert len(snapshot.audiences) == len(snapshot.scores)
    assert user not in [member.user for member in selection.members]


@pytest.mark.parametrize("name", [PAIRS_FILE, REACH_FILE])
def test_damage_is_reported(home, name):
    (folder,) = home.snapshots.iterdir()
    (folder / name).write_bytes(b"nothing")
    with pytest.raises(SnapshotError, match="the snapshot is damaged"):
        open_snapshot(home)


def test_a_snapshot_without_audiences_is_an_error_with_instructions(scored_home):
    with pytest.raises(NoAudiencesError, match="Train a model with 'clout train', then make the snapshot anew"):
        snapshot_candidates(open_snapshot(scored_home))


@pytest.mark.parametrize("share", [0.0, 0.4, 0.9])
def test_a_selection_of_rows_is_computed_in_chunks(share, monkeypatch):
    monkeypatch.setattr(file_arrays, "USERS_AT_ONCE", 7)
    rng, rows = np.random.default_rng(3), 50
    pairs = rng.integers(0, 4, rows).astype(np.int32)
    engagers = rng.integers(0, rows, pairs.sum()).astype(np.int32)
    probability = rng.random(len(engagers)).astype(np.float32)
    strangers, weight, followers = rng.random(rows), rng.random(rows), np.arange(rows, dtype=np.int32)
    stored = StoredAudiences(pairs, engagers, probability, strangers, weight, followers, {"all": 12.0})
    keep = rng.random(rows) < share
    rest, numbers = stored.of_rows(keep), np.flatnonzero(keep)
    assert rest.followers.tolist() == numbers.tolist()
    users, ours = np.repeat(np.arange(rows), pairs), np.repeat(np.arange(len(rest)), rest.pairs)
    inside = keep[users] & keep[engagers]
    assert numbers[ours].tolist() == users[inside].tolist()
    assert numbers[rest.engagers].tolist() == engagers[inside].tolist()
    assert rest.probability.tolist() == probability[inside].tolist()
    assert (rest.strangers.tolist(), rest.weight.tolist()) == (strangers[keep].tolist(), weight[keep].tolist())
