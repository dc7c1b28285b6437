"""The events fit the event table, and nothing impossible happens in them."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from features.events.event_table import CREATIONS, ENGAGEMENTS, SCHEMA, VERBS, open_events

PERSONAL = ("follow", "unfollow", "block")


@pytest.fixture(scope="module")
def engagements(events):
    return events[events.verb.isin(ENGAGEMENTS)]


def test_the_file_has_the_schema_of_the_event_table(written):
    assert pq.read_schema(written.files[0]) == SCHEMA.to_pyarrow()


def test_duckdb_reads_the_schema_and_the_count(written):
    found = open_events(written.files[0])
    assert found.schema().to_pyarrow() == SCHEMA.to_pyarrow()
    assert found.count().to_pyarrow().as_py() == written.events


def test_strings_are_plain_to_arrow(written):
    kinds = {str(field.type) for field in pq.read_schema(written.files[0])}
    assert not any("dictionary" in kind for kind in kinds)


def test_events_are_in_the_order_of_time(events):
    assert events.time.is_monotonic_increasing


def test_events_fill_the_period_and_stay_inside(events, community):
    first, last = events.time.min(), events.time.max()
    begin = pd.Timestamp(community.start)
    assert begin <= first < begin + pd.Timedelta(days=1)
    assert begin + pd.Timedelta(days=community.days - 1) < last < begin + pd.Timedelta(days=community.days)


def test_verbs_are_known_and_all_but_view_occur(events):
    assert set(events.verb) == set(VERBS) - {"view"}


def test_nobody_engages_with_himself(events):
    assert not (events.actor == events.target).any()


def test_everybody_named_is_in_the_truth(events, truth):
    assert set(events.actor.dropna()) | set(events.target.dropna()) <= set(truth.index)


def test_nobody_acts_before_joining_or_after_leaving(events, truth):
    known = events[events.actor.notna()]
    stay = truth.loc[known.actor, ["joined", "left"]].reset_index(drop=True)
    time = known.time.reset_index(drop=True)
    assert (time >= stay.joined).all()
    assert ((time < stay.left) | stay.left.isna()).all()


def test_nobody_is_engaged_with_before_joining(engagements, truth):
    joined = truth.loc[engagements.target, "joined"].reset_index(drop=True)
    assert (engagements.time.reset_index(drop=True) >= joined).all()


def test_every_engagement_has_a_target_and_no_post_has(events, engagements):
    assert engagements.target.notna().all()
    assert events.target[events.verb == "post"].isna().all()


def test_only_likes_come_from_unknown_people_and_few_do(events):
    unknown = events[events.actor.isna()]
    assert set(unknown.verb) == {"like"}
    assert 0.01 < len(unknown) / (events.verb == "like").sum() < 0.03


def test_pieces_are_made_once_by_the_target_and_before_they_draw_anything(events):
    made = pd.concat([events[events.verb == "post"].assign(piece=events.object), _results(events)])
    assert made.piece.is_unique
    acted = events[(events.verb != "post") & events.object.notna()]
    origin = made.set_index("piece").loc[acted.object]
    assert (origin.actor.to_numpy() == acted.target.to_numpy()).all()
    assert (origin.time.to_numpy() < acted.time.to_numpy()).all()


def test_only_replies_and_quotes_make_new_pieces(events):
    assert set(_results(events).verb) == {"reply", "quote"}
    assert events.result[events.verb.isin(["reply", "quote"])].notna().all()


def test_acts_about_a_person_name_no_piece(events):
    assert events.object[events.verb.isin(PERSONAL)].isna().all()


def test_created_pieces_have_a_hash_and_links_and_nothing_else_has(events):
    created = events.verb.isin(CREATIONS)
    assert (events.content_hash.notna() == created).all()
    assert (events.links.notna() == created).all()
    assert (events.links[created] >= 0).all()


def test_posts_have_one_or_two_different_topics(events):
    topics = events.topics[events.verb == "post"]
    counts = topics.map(len)
    assert set(counts) == {1, 2}
    assert (topics.map(lambda tags: len(set(tags))) == counts).all()


def test_engagements_carry_the_topics_of_their_piece(events):
    posts = events[events.verb == "post"].set_index("object").topics
    about = events[(events.verb == "like") & events.object.isin(posts.index)].head(500)
    assert all(np.array_equal(posts[piece], tags) for piece, tags in zip(about.object, about.topics, strict=True))


def test_who_unfollows_has_followed(events):
    followed = events[events.verb == "follow"].groupby(["actor", "target"]).time.min()
    left = events[events.verb == "unfollow"].set_index(["actor", "target"]).time
    assert (followed.loc[left.index].to_numpy() < left.to_numpy()).all()


@pytest.mark.parametrize("verb", ["like", "repost", "quote", "dislike", "flag"])
def test_nobody_does_the_same_to_a_piece_twice(events, verb):
    known = events[(events.verb == verb) & events.actor.notna()]
    assert not known.duplicated(["actor", "object"]).any()


def test_nobody_follows_the_same_person_twice(events):
    assert not events[events.verb == "follow"].duplicated(["actor", "target"]).any()


def _results(events):
    return events[events.result.notna()].assign(piece=events.result)
