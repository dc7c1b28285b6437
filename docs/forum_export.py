"""Write a simulated community as the messy export of a forum, as of a day.

`python docs/forum_export.py community.parquet export 2025-08-01` writes `export/forum.csv`, the posts, and
`export/likes.csv`. As in real exports, dates are in a local form, some authors are `[deleted]`, some rows come twice,
some have no date, and an answer names the post that it answers, not the author of that post.
"""

import sys
from pathlib import Path

import pandas as pd

KINDS = {"post": "topic", "reply": "answer", "quote": "quote"}
DATES = "%d.%m.%Y %H:%M:%S"


def write_export(events: Path, folder: Path, day: str) -> None:
    """Write what happened before a day, from an event table in Parquet, as two tables in CSV."""
    table = pd.read_parquet(events)
    table = table[table["time"] < pd.Timestamp(day, tz="UTC")]
    folder.mkdir(parents=True, exist_ok=True)
    _posts(table[table["verb"].isin(KINDS)]).to_csv(folder / "forum.csv", index=False, sep=";", encoding="utf-8-sig")
    _likes(table[table["verb"] == "like"]).to_csv(folder / "likes.csv", index=False)


def _posts(events: pd.DataFrame) -> pd.DataFrame:
    is_topic = events["verb"] == "post"
    posts = pd.DataFrame(
        {
            "post_id": events["object"].where(is_topic, events["result"]),
            "posted_at": events["time"].dt.strftime(DATES),
            "author": events["actor"],
            "kind": events["verb"].map(KINDS),
            "reply_to": events["object"].mask(is_topic),
            "board": events["topics"].str[0],
            "body_md5": events["content_hash"],
        }
    ).reset_index(drop=True)
    deleted = posts["author"].drop_duplicates().iloc[::50]
    posts["author"] = posts["author"].mask(posts["author"].isin(deleted), "[deleted]")
    posts.loc[posts.index[::4000], "posted_at"] = ""
    return pd.concat([posts, posts.iloc[1000:1200]])


def _likes(events: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {"liked_at": events["time"].dt.strftime(DATES), "who": events["actor"], "post_id": events["object"]}
    )


if __name__ == "__main__":
    write_export(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
