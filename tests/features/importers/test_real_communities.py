import csv
import gzip
from collections import Counter
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features.importers.tables import import_table

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"

pytestmark = [pytest.mark.real, pytest.mark.skipif(not DATA.is_dir(), reason="the real communities are not there")]


def rows(name):
    with gzip.open(DATA / name, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def counts(table, column="verb"):
    return {group["values"]: group["counts"] for group in pc.value_counts(table[column]).to_pylist()}


def test_reddit(tmp_path):
    names = {"time": "created_utc", "actor": "author", "verb": "type", "target": "parent_author"}
    names |= {"object": "parent_id", "result": "item_id", "topics": "subreddit"}
    report = import_table(
        DATA / "reddit_college/items.csv.gz", tmp_path / "events.parquet", names, {"comment": "reply"}
    )
    items = rows("reddit_college/items.csv.gz")
    nobody = sum(not item["author"] and not item["parent_author"] for item in items)
    assert (report.read, report.rejected) == (len(items), nobody)
    assert report.reasons == {"neither actor nor target known": nobody}
    events = pq.read_table(report.out)
    assert counts(events)["reply"] == sum(
        item["type"] == "comment" and bool(item["author"] or item["parent_author"]) for item in items
    )
    posts = events.filter(pc.field("verb") == "post")
    assert posts["target"].null_count == posts["result"].null_count == len(posts)
    assert set(posts["object"].to_pylist()) == {
        item["item_id"] for item in items if item["type"] == "post" and item["author"]
    }


def test_slicer(tmp_path):
    names = {"time": "ts", "verb": "type", "topics": "topic"}
    report = import_table(DATA / "slicer_forum/events.csv.gz", tmp_path / "events", names, {"topic_reply": "reply"})
    assert (report.read, report.accepted) == (119_949, 117_289)
    everything = [tuple(row.values()) for row in rows("slicer_forum/events.csv.gz")]
    assert report.reasons == {"the same event again": len(everything) - len(set(everything))}
    verbs = counts(pq.read_table(report.out))
    assert verbs == Counter(verb.removeprefix("topic_") for _, verb, *_ in set(everything))


def test_travel(import_once):
    out, report = import_once("travel")
    posts, comments, votes = (rows(f"travel_stackexchange/{name}.csv.gz") for name in ("Posts", "Comments", "Votes"))
    assert report["read"] == len(posts) + len(comments) + len(votes) == report["accepted"] + report["rejected"]
    assert sum(report["reasons"].values()) == report["rejected"]
    events = pq.read_table(out)
    replies = events.filter((pc.field("verb") == "reply") & pc.field("actor").is_valid())
    answers = sum(post["PostTypeId"] == "2" and bool(post["OwnerUserId"]) for post in posts)
    assert len(replies) == answers + sum(bool(comment["UserId"]) for comment in comments)
    owners = {post["Id"]: post["OwnerUserId"] for post in posts}
    ups = sum(vote["VoteTypeId"] == "2" and bool(owners.get(vote["PostId"])) for vote in votes)
    favourites = sum(vote["VoteTypeId"] == "5" for vote in votes)
    likes = events.filter(pc.field("verb") == "like")
    accepted = len(likes) - ups - favourites
    assert 0 < accepted <= sum(vote["VoteTypeId"] == "1" for vote in votes)
