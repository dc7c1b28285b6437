"""Snapshots: written atomically, opened by instant, fast to read, and able to explain their scores."""

import json
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from time import sleep

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import AbsentScopeError, CatalogueError, OutputError, SnapshotError, UnknownUserError
from serving.scoring import score_rows
from serving.snapshots import feature_rows, snapshot
from serving.snapshots import layout as snapshot_files
from serving.snapshots.explanation import chance, expectation
from serving.snapshots.layout import sort_rows, write_checksums
from serving.snapshots.repository import (
    AbsentSnapshotError,
    check_users,
    list_snapshots,
    open_snapshot,
    served_otherwise,
    write_scores,
    write_snapshot,
)
from serving.snapshots.scored_rows import ScoredRows
from serving.snapshots.story import APPEARED, TITLES
from training.records.opt_outs import opt_out

AS_OF = datetime(2017, 7, 30, tzinfo=UTC)
EARLIER = AS_OF - timedelta(days=28)


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_the_same_arguments_give_the_same_bytes(tmp_path, home, bundle, scores, rows):
    (first,) = list_snapshots(home)
    before = contents(first)
    assert set(before) == {
        "scores.parquet", "features.arrow", "snapshot.json", "baselines.json",
        "bundle/booster.txt", "bundle/bounded.txt", "bundle/bundle.json", "SHA256SUMS",
    }  # fmt: skip
    again = write_snapshot(home, AS_OF, bundle, "3", scores, rows.sample(frac=1, random_state=2))
    assert again == first
    assert contents(again) == before


def test_facts_describe_the_snapshot(home, rows):
    (folder,) = list_snapshots(home)
    facts = json.loads((folder / "snapshot.json").read_text())
    assert facts["as_of"] == "2017-07-30T00:00:00Z"
    assert (facts["model_version"], facts["horizon_days"]) == ("3", 28)
    assert (facts["users"], facts["rows"]) == (rows["user"].nunique(), len(rows))


def test_names_sort_by_instant_then_version(home, bundle, scores, rows):
    for as_of, version in [(EARLIER, "12"), (AS_OF, "10"), (AS_OF, "9"), (AS_OF + timedelta(microseconds=5), "1")]:
        write_snapshot(home, as_of, bundle, version, scores.assign(model_version=version), rows)
    assert [folder.name for folder in list_snapshots(home)] == [
        "2017-07-30T000000.000005Z_v1",
        "2017-07-30T000000Z_v10",
        "2017-07-30T000000Z_v9",
        "2017-07-30T000000Z_v3",
        "2017-07-02T000000Z_v12",
    ]
    assert open_snapshot(home).model_version == "1"
    assert open_snapshot(home, AS_OF).model_version == "10"
    assert open_snapshot(home, EARLIER).as_of == EARLIER


def test_a_future_snapshot_is_served_only_if_there_is_no_other(home):
    (present,) = list_snapshots(home)
    future = shutil.copytree(present, present.with_name("2099-01-01T000000Z_v4"))
    assert list_snapshots(home) == [future, present]
    for champion in (None, "3", "4"):
        assert open_snapshot(home, champion=champion).folder == present
    assert served_otherwise(home, list_snapshots(home), "3") is None
    shutil.rmtree(present)
    assert open_snapshot(home).folder == future
    assert "2099-01-01T00:00:00Z by version 4 are served, an instant in the future, because there are no others" in (
        served_otherwise(home, [future], "4")
    )


def test_a_forced_future_snapshot_is_served(home, bundle, scores, rows):
    forced = write_snapshot(home, AS_OF.replace(year=2099), bundle, "3", scores, rows, forced=True)
    assert open_snapshot(home, champion="3").folder == forced
    detail = served_otherwise(home, list_snapshots(home), "3")
    assert "an instant in the future, because they were published by --force; nothing that happens until then" in detail


class TestCheckUsers:
    @pytest.fixture
    def check(self, home, scores, rows):
        """Check the scores of some users at an instant."""

        def check(users, as_of=AS_OF):
            of_users = scores["user"].isin(users)
            scored = ScoredRows.of_frames(*(sort_rows(frame[of_users]) for frame in (scores, rows)))
            check_users(home, as_of, scored)

        return check

    @pytest.fixture
    def users(self, scores):
        return sorted(scores["user"].unique())

    def test_half_of_the_users_suffice(self, check, users):
        check(users[:155], AS_OF + timedelta(days=1))

    @pytest.mark.parametrize("days", [0, 28])
    def test_fewer_are_refused(self, check, users, days):
        expected = (
            r"these scores are of 1 user, fewer than half of the 309 of the last snapshot, as of 2017-07-30T00:00:00Z: "
            r"events may be missing, or the instant is wrong\. Nothing was written\. Check EVENTS and --as-of; to "
            r"publish these scores anyway, add --force\."
        )
        with pytest.raises(SnapshotError, match=expected):
            check(users[:1], AS_OF + timedelta(days=days))

    @pytest.mark.parametrize("shared", [0, 154, 155, 309])
    def test_half_of_the_same_users_are_needed(self, home, scores, rows, users, shared):
        names = dict(zip(users, users[:shared] + [f"other{k:04}" for k in range(309 - shared)], strict=True))
        renamed = (sort_rows(frame.assign(user=frame["user"].map(names))) for frame in (scores, rows))
        scored = ScoredRows.of_frames(*renamed)
        expected = (
            rf"{shared} of the 309 users of the last snapshot, as of 2017-07-30T00:00:00Z, are in these events, fewer "
            r"than half: is this the right EVENTS and --home\? Nothing was written\. To publish these scores anyway, "
            r"add --force\."
        )
        with nullcontext() if shared > 154 else pytest.raises(SnapshotError, match=expected):
            check_users(home, AS_OF, scored)

    def test_users_that_are_hidden_by_now_do_not_count(self, home, check, users):
        with pytest.raises(SnapshotError, match="fewer than half of the 309"):
            check(users[9:163])
        for user in users[:9]:
            opt_out(home, user)
        check(users[9:163])

    def test_a_damaged_snapshot_does_not_count(self, home, check, users):
        (folder,) = list_snapshots(home)
        (folder / "scores.parquet").write_bytes(b"PAR1")
        check(users[:1])
        (folder / "snapshot.json").write_text("{")
        check(users[:1])

    def test_later_snapshots_do_not_count(self, home, check, users):
        check(users[:1], EARLIER)
        shutil.rmtree(home.snapshots)
        check(users[:1])


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1), st.sets(st.sampled_from("abcdefgh")), st.integers(1, 4))
def test_users_are_counted_among_scored_rows_in_parts(scored, users, rows):
    """Whatever the parts are in which the rows are read, also where the rows of a user lie in two of them."""
    column = pa.array(sorted(scored), pa.large_string())

    def read(_):
        return iter(pa.table({"user": column}).to_batches(rows))

    expected = len(users & set(scored))
    assert ScoredRows(len(scored), [], read).count_among(pa.array(sorted(users), pa.large_string())) == expected


def test_instants_in_other_zones_are_equal(home):
    zoned = datetime.fromisoformat("2017-07-30T02:00:00+02:00")
    assert open_snapshot(home, zoned).as_of == AS_OF


def test_scratch_and_foreign_folders_are_not_listed(home):
    (home.snapshots / ".2017-08-30T000000Z_v3.abc").mkdir()
    (home.snapshots / "2017-99-30T000000Z_v3").mkdir()
    (home.snapshots / "notes").mkdir()
    (home.snapshots / "2017-08-30T000000Z_v4").write_text("a file")
    assert len(list_snapshots(home)) == 1


def test_a_failed_write_leaves_the_old_snapshot(home, bundle, scores, rows, monkeypatch):
    before = contents(home.snapshots)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(snapshot_files, "write_batches", full)
    with pytest.raises(OutputError, match=r"cannot be written: No space left on device; free disk space there"):
        write_snapshot(home, AS_OF, bundle, "3", scores, rows)
    assert contents(home.snapshots) == before


def test_scores_and_rows_must_be_of_the_same_users(home, bundle, scores, rows):
    with pytest.raises(ValueError, match="not of the same users"):
        write_snapshot(home, AS_OF, bundle, "3", scores, rows.iloc[1:])


def test_scores_must_be_of_the_version(home, bundle, scores, rows):
    with pytest.raises(ValueError, match="of the model version '3', expected '4'"):
        write_snapshot(home, AS_OF, bundle, "4", scores, rows)


def test_a_version_that_cannot_name_a_folder_is_refused(home, bundle, scores, rows):
    with pytest.raises(ValueError, match=r"'\.\./3' cannot name a folder"):
        write_snapshot(home, AS_OF, bundle, "../3", scores.assign(model_version="../3"), rows)


def test_without_snapshots_the_error_states_the_next_command(tmp_path, home):
    empty = type(home)(tmp_path / "elsewhere")
    assert list_snapshots(empty) == []
    with pytest.raises(SnapshotError, match=r"no snapshots in .* 'clout score"):
        open_snapshot(empty)


def test_a_date_finds_the_only_snapshot_of_the_day(home, bundle, scores, rows):
    late = AS_OF + timedelta(days=30, hours=23)
    write_snapshot(home, late, bundle, "3", scores, rows)
    assert open_snapshot(home, late - timedelta(hours=23)).as_of == late
    with pytest.raises(AbsentSnapshotError, match="no snapshot as of"):
        open_snapshot(home, late - timedelta(hours=22))


def test_an_absent_instant_is_an_error_that_lists_the_others(home, bundle, scores, rows):
    write_snapshot(home, EARLIER, bundle, "3", scores, rows)
    with pytest.raises(AbsentSnapshotError, match="2017-01-01T00:00:00Z; there are: 2017-07-30T00:00:00Z, 2017-07-02T"):
        open_snapshot(home, datetime(2017, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    "name",
    [
        "scores.parquet",
        "features.arrow",
        "snapshot.json",
        "baselines.json",
        "bundle/booster.txt",
        "bundle/bounded.txt",
        "bundle/bundle.json",
    ],
)
@pytest.mark.parametrize("damage", ["absent", "empty", "cut"])
def test_damage_names_the_file(home, name, damage):
    (folder,) = list_snapshots(home)
    file = folder / name
    if damage == "absent":
        file.unlink()
    else:
        os.truncate(file, 0 if damage == "empty" else file.stat().st_size // 2)
    with pytest.raises(SnapshotError, match=f"damaged: .*{name.split('/')[0]}.*clout score"):
        open_snapshot(home).explain("user0001")


def test_inconsistent_files_are_damage(home, scores):
    (folder,) = list_snapshots(home)
    write_scores(scores.head(5), folder / "scores.parquet")
    write_checksums(folder)
    with pytest.raises(SnapshotError, match=r"scores\.parquet cannot be read \(5 rows, expected"):
        open_snapshot(home)
    write_scores(scores.iloc[::-1], folder / "scores.parquet")
    write_checksums(folder)
    with pytest.raises(SnapshotError, match="users are not in order"):
        open_snapshot(home)


def test_every_user_has_a_score(home, scores):
    snapshot = open_snapshot(home)
    for row in scores.to_dict("records"):
        score = snapshot.score(row["user"], row["scope"])
        assert {key: score[key] for key in row} == row
        assert score["as_of"] == "2017-07-30T00:00:00Z"


def test_status_reports_insufficient_evidence(home):
    snapshot = open_snapshot(home)
    assert snapshot.score("user0003")["status"] == "insufficient_evidence"
    assert snapshot.score("user0001")["status"] == "scored"


def test_rows_come_from_any_batch(home, bundle, rows, monkeypatch):
    monkeypatch.setattr(feature_rows, "ROWS_PER_BATCH", 7)
    write_snapshot(home, AS_OF, bundle, "3", score_rows(bundle, "3", rows), rows)
    snapshot = open_snapshot(home)
    for _, row in rows.iloc[::5].iterrows():
        features = pd.Series(snapshot.feature_row(row["user"], row["scope"]))
        expected = row.drop(["user", "scope"]).astype(float)
        pd.testing.assert_series_equal(features, expected, check_names=False, check_exact=True)


def test_an_open_snapshot_survives_its_replacement(home, bundle, rows):
    snapshot = open_snapshot(home)
    before = snapshot.feature_row("user0001")
    other = rows.assign(credible_pace_28d=rows["credible_pace_28d"] + 1)
    write_snapshot(home, AS_OF, bundle, "3", score_rows(bundle, "3", other), other)
    assert snapshot.feature_row("user0001") == pytest.approx(before, rel=0, abs=0, nan_ok=True)
    assert open_snapshot(home).feature_row("user0001")["credible_pace_28d"] == before["credible_pace_28d"] + 1


def test_threads_share_a_snapshot(home, rows):
    snapshot = open_snapshot(home)
    users = rows["user"].head(60).tolist()
    with ThreadPoolExecutor(8) as threads:
        values = list(threads.map(lambda user: snapshot.feature_row(user)["credible_pace_28d"], users))
    assert values == rows["credible_pace_28d"].head(60).tolist()


def test_explanations_add_up_and_agree_with_the_scores(home, scores):
    snapshot = open_snapshot(home)
    for user, scope in zip(scores["user"][::20], scores["scope"][::20], strict=True):
        explanation, score = snapshot.explain(user, scope), snapshot.score(user, scope)
        assert explanation.base + sum(line.points for line in explanation.lines) == pytest.approx(
            explanation.unclipped, abs=1e-6
        )
        assert explanation.score == pytest.approx(score["score"], abs=1e-9)
        assert explanation.score == pytest.approx(np.clip(explanation.unclipped, 0, 100))
        assert (explanation.interval.low, explanation.interval.high) == (score["low"], score["high"])
        assert explanation.chance == chance(score["expected_audience"], snapshot.bundle)


def test_the_chance_is_measured_below_one_person(bundle, scores):
    assert chance(0.5, bundle) == float(bundle.chance.of(np.array(0.5))) < 0.5
    assert chance(0.9, bundle) is None
    score, earlier = (
        scores.iloc[0].to_dict() | {"expected_audience": 0.5, "horizon_days": 28},
        replace(bundle, chance=None),
    )
    assert chance(0.5, earlier) is None
    assert expectation(score, bundle).startswith("It means that, in the next 28 days, about ")
    assert expectation(score, earlier).startswith("It means that, in the next 28 days, at most 5 in 10 users")


def test_an_explanation_is_json_with_the_documented_fields(home):
    explanation = json.loads(json.dumps(asdict(open_snapshot(home).explain("user0004")), allow_nan=False))
    documented = "user scope as_of model_version score unclipped base baseline lines reasons_for reasons_against"
    assert {*documented.split(), "interval", "evidence"} < set(explanation)
    assert {"reasons", "families", "clipping", "missing"} < set(explanation)
    assert set(explanation["lines"][0]) == {"feature", "family", "value", "points", "sentence", "typical", "parts"}
    assert {"sentence", "points", "family", "features"} == set(explanation["reasons"][0])
    assert set(explanation["interval"]) == {"low", "high", "level"}
    assert {"percentile", "peer_percentile", "users_below", "horizon_days", "possible_changes"} < set(explanation)
    assert all(set(section) == {"topic", "title", "sentences"} for section in explanation["story"])


def test_the_story_is_in_order_and_repeats_the_figures(home, rows):
    snapshot = open_snapshot(home)
    scored = snapshot.scores.to_pandas()
    scored = scored[scored["scope"] == "all"]
    topics = set()
    for user in rows["user"][:60]:
        explanation = snapshot.explain(user)
        story = {section.topic: section.sentences for section in explanation.story}
        assert sorted(story) == sorted(topic for topic in TITLES if topic in story)
        assert explanation.users_below == pytest.approx((scored["score"] < explanation.score - 1e-9).mean())
        assert explanation.percentile == snapshot.score(user)["percentile"]
        if explanation.missing is None:
            assert story["score"][0].startswith(
                f"The influence score of {user} is {explanation.score:.1f} out of 100, "
            )
            reasons = {"for": explanation.reasons_for, "against": explanation.reasons_against}
            for topic, texts in reasons.items():
                said = [sentence.rsplit(": ", 1)[0] for sentence in story.get(topic, ())]
                named = [
                    [
                        APPEARED.sub("since this user appeared", text.removesuffix(" Together").removesuffix("."))
                        for text in part
                    ]
                    for part in (said, texts)
                ]
                assert named[0] == named[1]
            sentences = [sentence for topic in ("for", "against", "rest") for sentence in story.get(topic, ())]
            points = [float(re.search(r": ([+-][\d.]+) points\.", sentence)[1]) for sentence in sentences]
            assert round(explanation.base, 1) + sum(points) == pytest.approx(explanation.unclipped, abs=0.11)
            assert {fact.sentence for fact in explanation.facts if abs(fact.points) >= 1 and fact.is_distinct} <= {
                reason.sentence for reason in explanation.reasons
            }
            changes = tuple(change.sentence for change in explanation.possible_changes)
            assert all(map(str.startswith, story["change"], changes))
            assert len(story["change"]) == len(changes) > 0
            held_back = tuple(item.sentence for item in explanation.held_back)
            assert len(story.get("not_counted", ())) <= len(held_back) + 1
            assert any(item.points >= 0.5 for item in explanation.held_back) == ("not_counted" in story)
        else:
            assert list(story) == ["score", "evidence"]
        topics |= set(story)
    assert topics >= set(TITLES) - {"against"}  # active users of this community have low scores


def test_families_and_reasons_follow_from_the_lines(home):
    explanation = open_snapshot(home).explain("user0004")
    assert explanation.base + sum(explanation.families.values()) + explanation.clipping == pytest.approx(
        explanation.score, abs=1e-6
    )
    lines = {line.feature: line for outer in explanation.lines for line in (outer, *outer.parts)}
    assert [reason.sentence for reason in explanation.reasons] == [
        *explanation.reasons_for,
        *explanation.reasons_against,
    ]
    assert explanation.reasons
    for reason in explanation.reasons:
        of_reason = [lines[name] for name in reason.features]
        assert sum(line.points for line in of_reason) == pytest.approx(reason.points)
        assert abs(reason.points) >= 0.4
    assert {reason.sentence for reason in explanation.reasons} <= {fact.sentence for fact in explanation.facts}
    assert len({reason.sentence for reason in explanation.reasons}) == len(explanation.reasons)


def test_insufficient_evidence_replaces_reasons(home):
    explanation = open_snapshot(home).explain("user0003")
    assert explanation.status == explanation.evidence == "insufficient_evidence"
    assert (explanation.reasons_for, explanation.reasons_against, explanation.reasons) == ((), (), ())
    assert explanation.missing == (
        "Too little is known for a score: in the last year this user acted once, and others did not engage. It takes 3 "
        "events, so 2 more."
    )
    assert explanation.base + sum(line.points for line in explanation.lines) == pytest.approx(
        explanation.unclipped, abs=1e-6
    )
    assert open_snapshot(home).explain("user0001").missing is None


def test_damaged_features_are_reported(home):
    (folder,) = list_snapshots(home)
    file = folder / "features.arrow"
    content = bytearray(file.read_bytes())
    content[200 : len(content) * 3 // 4] = b"\xff" * (len(content) * 3 // 4 - 200)
    file.write_bytes(content)
    with pytest.raises(SnapshotError, match=r"damaged: .*features\.arrow"):
        open_snapshot(home).explain("user0001")


def test_a_snapshot_without_a_feature_of_explanations_states_the_next_command(home):
    message = r"lacks the feature klout: .* Make it anew with 'clout score EVENTS'\."
    snapshot = open_snapshot(home)
    with pytest.raises(SnapshotError, match=message):
        snapshot.feature_row("user0001")["klout"]
    with pytest.raises(SnapshotError, match=message):
        snapshot.features.columns(["scope", "klout"])


def test_old_scores_are_readable_after_the_catalogue_changes(home):
    (folder,) = list_snapshots(home)
    file = folder / "bundle" / "bundle.json"
    facts = json.loads(file.read_text())
    facts["features"] = {"gone": "123"} | facts["features"]
    file.write_text(json.dumps(facts))
    write_checksums(folder)
    snapshot = open_snapshot(home)
    assert snapshot.score("user0001")["user"] == "user0001"
    with pytest.raises(CatalogueError, match="absent here: gone"):
        snapshot.explain("user0001")


@pytest.mark.parametrize(
    ("user", "near"), [("user000", "user0000"), ("USER0001", None), ("", None), ("zzz" * 999, None)]
)
def test_an_unknown_user_error_names_the_reason_and_close_ids(home, user, near):
    snapshot = open_snapshot(home)
    with pytest.raises(UnknownUserError) as caught:
        snapshot.score(user)
    message = str(caught.value)
    assert f"none of the {snapshot.users} users of the snapshot as of 2017-07-30T00:00:00Z" in message
    assert "365 days before" in message
    assert (f"Close ids: '{near}'" in message) == (near is not None)


def test_an_unknown_scope_error_lists_the_scopes(home):
    with pytest.raises(AbsentScopeError, match=r"no score of the scope 'topic:fish' .* there: all, topic:birds"):
        open_snapshot(home).score("user0001", "topic:fish")


@pytest.mark.parametrize("user", ["user7", "user007", "user00007", "user0000007"])
def test_ids_with_more_or_fewer_zeros_are_the_first_close_ones(home, monkeypatch, user):
    monkeypatch.setattr(snapshot, "NEIGHBOURS", 3)
    with pytest.raises(UnknownUserError, match="Close ids: 'user0007'"):
        open_snapshot(home).score(user)
    opt_out(home, "user0007")
    with pytest.raises(UnknownUserError) as caught:
        open_snapshot(home).score(user)
    assert "user0007'" not in str(caught.value).removeprefix(repr(user))


def test_close_ids_come_from_a_bounded_neighbourhood(home, monkeypatch):
    monkeypatch.setattr(snapshot, "NEIGHBOURS", 1)
    with pytest.raises(UnknownUserError, match="Close ids: 'user0149', 'user0150'"):
        open_snapshot(home).score("user0149x")


def test_scores_are_written_atomically(tmp_path, scores):
    out = tmp_path / "new" / "scores.parquet"
    write_scores(scores, out)
    first = out.read_bytes()
    write_scores(scores, out)
    assert out.read_bytes() == first
    assert [file.name for file in out.parent.iterdir()] == ["scores.parquet"]
    pd.testing.assert_frame_equal(pd.read_parquet(out), scores)
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_scores(scores, tmp_path / "taken" / "scores.parquet")


def test_a_folder_is_never_replaced_by_scores(tmp_path, scores):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").write_text("dear")
    with pytest.raises(OutputError, match="mine is a folder"):
        write_scores(scores, tmp_path / "mine")
    assert [str(file.relative_to(tmp_path)) for file in sorted(tmp_path.rglob("*"))] == ["mine", "mine/letter"]


def test_a_figure_is_computed_once_until_the_hidden_users_change(home):
    snapshot, computed = open_snapshot(home), []

    def compute():
        sleep(0.05)
        computed.append(1)
        return len(computed)

    with ThreadPoolExecutor(4) as pool:
        figures = list(pool.map(lambda _: snapshot.of_visible_users("figure", compute), range(4)))
    assert figures == [1, 1, 1, 1]
    opt_out(home, "user0001")
    assert snapshot.of_visible_users("figure", compute) == 2
