"""Simulated events match the schema of the event table and are consistent."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from features.events.event_table import CREATIONS, ENGAGEMENTS, SCHEMA, VERBS, open_events

PERSONAL = ("follow", "unfollow", "block")


@pytest.fixture(scope="module")
def engagements(events):
    return events[events.verb.isin(ENGAGEMENTS)]


def test_the_file_has_the_schema_of_the_event_table(summary):
    assert pq.read_schema(summary.files[0]) == SCHEMA.to_pyarrow()


def test_duckdb_reads_the_schema_and_the_count(summary):
    table = open_events(summary.files[0])
    assert table.schema().to_pyarrow() == SCHEMA.to_pyarrow()
    assert table.count().to_pyarrow().as_py() == summary.events


def test_strings_are_plain_to_arrow(summary):
    kinds = {str(field.type) for field in pq.read_schema(summary.files[0])}
    assert not any("dictionary" in kind for kind in kinds)


def test_events_are_in_the_order_of_time(events):
    assert events.time.is_monotonic_increasing


def test_events_fill_the_period_and_stay_inside(events, community):
    first, last = events.time.min(), events.time.max()
    begin = pd.Timestamp(community.start)
    assert begin <= first < begin + pd.Timedelta(days=1)
    assert begin + pd.Timedelta(days=community.days - 1) < last < begin + pd.Timedelta(days=community.days)


def test_all_verbs_but_view_occur(events):
    assert set(events.verb) == set(VERBS) - {"view"}


def test_nobody_engages_with_themselves(events):
    assert not (events.actor == events.target).any()


def test_all_users_are_in_the_truth(events, truth):
    assert set(events.actor.dropna()) | set(events.target.dropna()) <= set(truth.index)


def test_nobody_acts_before_joining_or_after_leaving(events, truth):
    attributed = events[events.actor.notna()]
    stay = truth.loc[attributed.actor, ["joined", "left"]].reset_index(drop=True)
    time = attributed.time.reset_index(drop=True)
    assert (time >= stay.joined).all()
    assert ((time < stay.left) | stay.left.isna()).all()


def test_nobody_is_engaged_with_before_joining(engagements, truth):
    joined = truth.loc[engagements.target, "joined"].reset_index(drop=True)
    assert (engagements.time.reset_index(drop=True) >= joined).all()


def test_every_engagement_has_a_target_and_no_post_has(events, engagements):
    assert engagements.target.notna().all()
    assert events.target[events.verb == "post"].isna().all()


def test_only_a_few_likes_have_no_actor(events):
    unattributed = events[events.actor.isna()]
    assert set(unattributed.verb) == {"like"}
    assert 0.01 < len(unattributed) / (events.verb == "like").sum() < 0.03


def test_pieces_are_created_once_by_the_target_before_any_engagement(events):
    created = pd.concat([events[events.verb == "post"].assign(piece=events.object), _results(events)])
    assert created.piece.is_unique
    reactions = events[(events.verb != "post") & events.object.notna()]
    origin = created.set_index("piece").loc[reactions.object]
    assert (origin.actor.to_numpy() == reactions.target.to_numpy()).all()
    assert (origin.time.to_numpy() < reactions.time.to_numpy()).all()


def test_only_replies_and_quotes_create_pieces(events):
    assert set(_results(events).verb) == {"reply", "quote"}
    assert events.result[events.verb.isin(["reply", "quote"])].notna().all()


def test_events_about_a_user_have_no_object(events):
    assert events.object[events.verb.isin(PERSONAL)].isna().all()


def test_only_created_pieces_have_a_hash_and_links(events):
    created = events.verb.isin(CREATIONS)
    assert (events.content_hash.notna() == created).all()
    assert (events.links.notna() == created).all()
    assert (events.links[created] >= 0).all()


def test_posts_have_one_or_two_different_topics(events):
    topics = events.topics[events.verb == "post"]
    counts = topics.map(len)
    assert set(counts) == {1, 2}
    assert (topics.map(lambda tags: len(set(tags))) == counts).all()


def test_engagements_have_the_topics_of_their_post(events):
    posts = events[events.verb == "post"].set_index("object").topics
    about = events[(events.verb == "like") & events.object.isin(posts.index)].head(500)
    assert all(np.array_equal(posts[piece], tags) for piece, tags in zip(about.object, about.topics, strict=True))


def test_unfollows_come_after_follows(events):
    followed = events[events.verb == "follow"].groupby(["actor", "target"]).time.min()
    unfollowed = events[events.verb == "unfollow"].set_index(["actor", "target"]).time
    assert (followed.loc[unfollowed.index].to_numpy() < unfollowed.to_numpy()).all()


@pytest.mark.parametrize("verb", ["like", "repost", "quote", "dislike", "flag"])
def test_reactions_to_a_piece_are_not_repeated(events, verb):
    attributed = events[(events.verb == verb) & events.actor.notna()]
    assert not attributed.duplicated(["actor", "object"]).any()


def test_follows_are_not_repeated(events):
    assert not events[events.verb == "follow"].duplicated(["actor", "target"]).any()


def _results(events):
    return events[events.result.notna()].assign(piece=events.result)
