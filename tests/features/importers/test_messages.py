"""Importers of chats and forums: Discord, Telegram, Slack, Discourse and X."""

import gzip
import json
from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest

from features.errors import EventsError
from features.importers.discord import import_discord
from features.importers.discourse import import_discourse
from features.importers.slack import import_slack
from features.importers.telegram import import_telegram
from features.importers.xarchive import import_xarchive

NO_TIME = "reaction: the export does not say when"
PRIVATE = "private, between named users only; --private accepts it"
HALF = "SECRET \ud83d"


def write(file, data):
    file.parent.mkdir(parents=True, exist_ok=True)
    text = data if isinstance(data, str) else json.dumps(data)
    file.write_bytes(gzip.compress(text.encode()) if file.suffix == ".gz" else text.encode())
    return file


def event_tuples(report):
    fields = ("verb", "actor", "target", "object", "result")
    return sorted((tuple(row[name] for name in fields) for row in pq.read_table(report.out).to_pylist()), key=str)


def by_verb(report, verb):
    return [row for row in pq.read_table(report.out).to_pylist() if row["verb"] == verb]


def user(number):
    return {"id": str(number), "name": f"user{number}", "isBot": False}


def discord_message(number, author, text="", kind="Default", **more):
    stamp = f"2024-03-01T10:00:0{number}.5+00:00"
    return {"id": str(number), "type": kind, "timestamp": stamp, "content": text, "author": user(author), **more}


def discord_channel(*messages, kind="GuildTextChat"):
    return {"guild": {"id": "1"}, "channel": {"id": "7", "type": kind, "name": "cats"}, "messages": list(messages)}


DISCORD = discord_channel(
    discord_message(1, 11, f"{HALF} https://x.example"),
    discord_message(2, 12, "yes", "Reply", reference={"messageId": "1"}, mentions=[user(11), user(13)]),
    discord_message(3, 13, reference={"type": "Forward", "messageId": "1"}),
    discord_message(4, 13, "", "GuildMemberJoin"),
    discord_message(5, 13, reactions=[{"emoji": {"name": "x"}, "count": 2, "users": [user(11), user(12)]}]),
    discord_message(6, 11, "gone", "Reply", reference={"messageId": "0"}),
)


@pytest.mark.parametrize("name", ["cats.json", "cats.json.gz"])
def test_discord(tmp_path, name):
    report = import_discord(write(tmp_path / name, DISCORD), tmp_path / "events.parquet")
    assert event_tuples(report) == [
        ("mention", "12", "13", "2", None),
        ("post", "11", None, "1", None),
        ("post", "13", None, "5", None),
        ("reply", "11", None, "0", "6"),
        ("reply", "12", "11", "1", "2"),
        ("repost", "13", "11", "1", None),
    ]
    assert report.reasons == {NO_TIME: 2, "GuildMemberJoin does not map to an event": 1}
    (first, _) = by_verb(report, "post")
    assert first["time"] == datetime(2024, 3, 1, 10, 0, 1, 500_000, tzinfo=UTC)
    assert (first["network"], first["topics"], first["links"]) == ("discord", ["cats"], 1)
    assert len(first["content_hash"]) == 32
    assert "SECRET" not in report.rejects.read_text()


def test_messages_in_overlapping_channels_count_once(tmp_path):
    write(tmp_path / "in" / "1.json", DISCORD)
    write(tmp_path / "in" / "2.json", DISCORD)
    report = import_discord(tmp_path / "in", tmp_path / "events.parquet")
    assert (report.accepted, report.reasons["the same event again"]) == (6, 6)


@pytest.mark.parametrize("shared", ["456226577798135808", "Deleted User"])
def test_deleted_discord_users_are_unknown_users(tmp_path, shared):
    reply = discord_message(2, shared, "", "Reply", reference={"messageId": "1"})
    file = write(tmp_path / "a.json", discord_channel(discord_message(1, 11), discord_message(3, shared), reply))
    report = import_discord(file, tmp_path / "events.parquet")
    assert event_tuples(report) == [("post", "11", None, "1", None), ("reply", None, "11", "1", "2")]
    assert report.reasons == {"neither actor nor target known": 1}


@pytest.mark.parametrize("kind", ["DirectTextChat", "DirectGroupTextChat", "GuildPrivateThread", None])
def test_direct_messages_are_rejected_unless_accepted(tmp_path, kind):
    file = write(tmp_path / "in" / "dm.json", discord_channel(discord_message(1, 11), kind=kind))
    write(tmp_path / "in" / "open.json", discord_channel(discord_message(2, 11)))
    report = import_discord(tmp_path / "in", tmp_path / "events.parquet")
    assert (report.accepted, report.reasons) == (1, {PRIVATE: 1})
    assert import_discord(file, tmp_path / "events.parquet", private=True).accepted == 1


def telegram_message(number, author, text="", **more):
    stamp = {"date": f"2024-03-01T12:00:0{number}", "date_unixtime": str(1709287200 + number)}
    return {"id": number, "type": "message", **stamp, "from": "x", "from_id": author, "text": text, **more}


LINKED = [{"type": "hashtag", "text": "#Dogs"}, " and ", {"type": "mention_name", "text": "Dan", "user_id": 4}]
CHAT = {
    "name": "cats",
    "type": "public_supergroup",
    "id": 99,
    "messages": [
        telegram_message(1, "user1", HALF),
        telegram_message(2, "user2", LINKED, reply_to_message_id=1, text_entities=LINKED[::2]),
        telegram_message(3, "user3", "x", forwarded_from="News", forwarded_from_id="channel5"),
        {
            "id": 4,
            "type": "service",
            "date_unixtime": "1709287204",
            "actor_id": "user1",
            "action": "join_group_by_link",
        },
        telegram_message(
            5,
            "user3",
            reactions=[
                {"type": "emoji", "count": 9, "recent": [{"from_id": "user1", "date": "2024-03-01T13:00:00"}]},
                {"type": "emoji", "count": 3},
            ],
        ),
        telegram_message(6, "user1", reply_to_message_id=8, reply_to_peer_id="channel98"),
    ],
}
TELEGRAM = [
    ("like", "user1", "user3", "99/5", None),
    ("mention", "user2", "user4", "99/2", None),
    ("post", "user1", None, "99/1", None),
    ("post", "user3", None, "99/5", None),
    ("reply", "user1", None, "98/8", "99/6"),
    ("reply", "user2", "user1", "99/1", "99/2"),
    ("repost", "user3", "channel5", None, None),
]


@pytest.mark.fast
def test_telegram_chat(tmp_path):
    report = import_telegram(write(tmp_path / "result.json", CHAT), tmp_path / "events.parquet")
    assert event_tuples(report) == TELEGRAM
    assert report.reasons == {"service message join_group_by_link does not map to an event": 1}
    (reply,) = [row for row in by_verb(report, "reply") if row["result"] == "99/2"]
    assert reply["topics"] == ["cats", "dogs"]
    assert reply["time"] == datetime(2024, 3, 1, 10, 0, 2, tzinfo=UTC)


def test_telegram_reactions_have_local_times_like_the_date_of_their_message(tmp_path):
    (like,) = by_verb(import_telegram(write(tmp_path / "result.json", CHAT), tmp_path / "events.parquet"), "like")
    assert like["time"] == datetime(2024, 3, 1, 11, 0, tzinfo=UTC)


def test_telegram_account_with_all_chats(tmp_path):
    personal = {"name": "Bob", "type": "personal_chat", "id": 5, "messages": [telegram_message(1, "user1", "hi")]}
    chats = {"about": "x", "contacts": {"list": [{"messages": 1}]}, "chats": {"about": "y", "list": [CHAT, personal]}}
    file = write(tmp_path / "result.json", chats)
    report = import_telegram(file, tmp_path / "events.parquet")
    assert event_tuples(report) == TELEGRAM
    assert report.reasons[PRIVATE] == 1
    assert import_telegram(file, tmp_path / "events.parquet", private=True).accepted == len(TELEGRAM) + 1


def test_a_telegram_chat_without_a_leading_type_is_private(tmp_path):
    document = {name: CHAT[name] for name in sorted(CHAT)}  # the key order of jq -S
    with pytest.raises(EventsError, match=r"private, between named users only; --private accepts it"):
        import_telegram(write(tmp_path / "result.json", document), tmp_path / "events.parquet")


def test_telegram_chats_without_ids_differ_by_file(tmp_path):
    for name in "ab":
        chat = {"type": "public_supergroup", "messages": [telegram_message(1, "user1"), telegram_message(2.0, "user2")]}
        write(tmp_path / "in" / f"{name}.json", chat)
    report = import_telegram(tmp_path / "in", tmp_path / "events.parquet")
    assert [row[3] for row in event_tuples(report)] == ["a/1", "b/1", "a/2", "b/2"]


def slack_message(stamp, author, text="", **more):
    return {"type": "message", "user": author, "text": text, "ts": f"{1709287200 + stamp}.000200", **more}


@pytest.fixture
def slack_export(tmp_path):
    folder = tmp_path / "export"
    write(folder / "channels.json", [{"id": "C1", "name": "cats"}])
    write(folder / "groups.json", [{"id": "G1", "name": "board"}])
    write(folder / "dms.json", [{"id": "D1", "members": ["U1", "U2"]}])
    write(folder / "users.json", [{"id": "U1", "name": "ann"}])
    thread = {"thread_ts": "1709287201.000200"}
    days = [
        slack_message(1, "U1", f"{HALF} <https://x.example|x> <@U3>", **thread),
        slack_message(2, "U2", "yes <@U1> <@U3|cid>", **thread, parent_user_id="U1"),
        slack_message(3, "U3", "late", **thread),
        slack_message(4, "U3", subtype="channel_join"),
        slack_message(5, "U2", reactions=[{"name": "x", "users": ["U1", "U3"], "count": 2}]),
        {**slack_message(6, None), "subtype": "bot_message", "bot_id": "B1"},
    ]
    write(folder / "cats" / "2024-03-01.json", days)
    write(folder / "board" / "2024-03-01.json", [slack_message(7, "U1")])
    write(folder / "D1" / "2024-03-01.json", [slack_message(8, "U1")])
    return folder


@pytest.mark.fast
def test_slack(slack_export, tmp_path):
    report = import_slack(slack_export, tmp_path / "events.parquet")
    first, second, third = (f"C1/{1709287200 + number}.000200" for number in (1, 2, 3))
    assert event_tuples(report) == [
        ("mention", "U1", "U3", first, None),
        ("mention", "U2", "U3", second, None),
        ("post", "B1", None, "C1/1709287206.000200", None),
        ("post", "U1", None, first, None),
        ("post", "U1", None, "G1/1709287207.000200", None),
        ("post", "U2", None, "C1/1709287205.000200", None),
        ("reply", "U2", "U1", first, second),
        ("reply", "U3", "U1", first, third),
    ]
    assert report.reasons == {NO_TIME: 2, "channel_join does not map to an event": 1, PRIVATE: 1}
    assert by_verb(report, "post")[0]["time"] == datetime(2024, 3, 1, 10, 0, 1, 200, tzinfo=UTC)
    assert import_slack(slack_export, tmp_path / "events.parquet", private=True).accepted == 9


def test_other_folders_are_not_read_as_slack_export(tmp_path, slack_export):
    with pytest.raises(EventsError, match="is not a Slack export; expected the folder of an unpacked Slack export"):
        import_slack(tmp_path, tmp_path / "events.parquet")
    for damaged in ("[{", "[" * 100_000):
        write(slack_export / "dms.json", damaged)
        with pytest.raises(EventsError, match=r"dms\.json cannot be read as JSON"):
            import_slack(slack_export, tmp_path / "events.parquet")


def post(number, author, cooked="", **more):
    stamp = f"2024-03-01T10:00:0{number}.000Z"
    return {"id": 70 + number, "username": author, "created_at": stamp, "cooked": cooked, "post_number": number, **more}


QUOTE = (
    '<aside class="quote no-group" data-username="bob" data-post="2" data-topic="5"><blockquote>x</blockquote></aside>'
)
POSTS = [
    post(1, "ann", f"<p>{HALF}</p>"),
    post(2, "bob", '<a class="mention" href="/u/cid">@cid</a> <a class="mention" href="/u/ann">@ann</a>'),
    post(3, "cid", QUOTE, reply_to_post_number=2, reply_to_user={"username": "bob"}),
    post(4, "ann", reply_to_post_number=3),
    post(5, "system", post_type=3, action_code="closed.enabled"),
    post(6, "dan", deleted_at="2024-03-02T00:00:00Z"),
]
TOPIC = {
    "post_stream": {"posts": [{**row, "topic_id": 5} for row in POSTS]},
    "id": 5,
    "tags": ["pets"],
    "like_count": 9,
}
DISCOURSE = [
    ("mention", "bob", "cid", "5/2", None),
    ("post", "ann", None, "5/1", None),
    ("quote", "cid", "bob", "5/2", "5/3"),
    ("reply", "ann", "cid", "5/3", "5/4"),
    ("reply", "bob", "ann", "5/1", "5/2"),
    ("reply", "cid", "bob", "5/2", "5/3"),
]
DISCOURSE_REASONS = {"small action does not map to an event": 1, "deleted post": 1}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("5.json", TOPIC),
        ("posts.json", {"latest_posts": TOPIC["post_stream"]["posts"]}),
        ("all.json", TOPIC["post_stream"]["posts"]),
        ("topics.json.gz", [TOPIC]),
        ("posts.jsonl", "\n".join(map(json.dumps, TOPIC["post_stream"]["posts"]))),
    ],
)
def test_discourse(tmp_path, name, data):
    report = import_discourse(write(tmp_path / name, data), tmp_path / "events.parquet")
    assert event_tuples(report) == DISCOURSE
    assert report.reasons == DISCOURSE_REASONS


def test_discourse_names_are_of_the_same_user_in_upper_and_lower_case(tmp_path):
    posts = [
        post(1, "Bob"),
        post(2, "ann", '<a class="mention" href="/u/bob">@bob</a> <a class="mention" href="/u/dan">@Dan</a>'),
        post(3, "cid", '<a class="mention" href="/u/bob">@BOB</a>' + QUOTE, reply_to_post_number=2),
    ]
    file = write(tmp_path / "5.json", [{**row, "topic_id": 5} for row in posts])
    assert event_tuples(import_discourse(file, tmp_path / "events.parquet")) == [
        ("mention", "ann", "Dan", "5/2", None),
        ("mention", "cid", "Bob", "5/3", None),
        ("post", "Bob", None, "5/1", None),
        ("quote", "cid", "Bob", "5/2", "5/3"),
        ("reply", "ann", "Bob", "5/1", "5/2"),
        ("reply", "cid", "ann", "5/2", "5/3"),
    ]


def test_discourse_topics_have_tags_or_are_private(tmp_path):
    report = import_discourse(write(tmp_path / "5.json", TOPIC), tmp_path / "events.parquet")
    assert {tuple(row["topics"]) for row in pq.read_table(report.out).to_pylist()} == {("pets",)}
    file = write(tmp_path / "5.json", {**TOPIC, "archetype": "private_message"})
    with pytest.raises(EventsError, match="5 x private"):
        import_discourse(file, tmp_path / "events.parquet")
    assert import_discourse(file, tmp_path / "events.parquet", private=True).accepted == len(DISCOURSE)


@pytest.mark.fast
def test_discourse_table_of_posts(tmp_path):
    table = (
        "id,user_id,topic_id,post_number,reply_to_post_number,created_at,raw,post_type\n"
        '71,1,5,1,,2024-03-01 10:00:00,"two\nlines",1\n72,2,5,2,,2024-03-01 10:00:01,x,1\n'
        "73,3,5,3,2,2024-03-01 10:00:02,y,1\n"
    )
    report = import_discourse(write(tmp_path / "posts.csv", table), tmp_path / "events.parquet")
    assert [row[:3] for row in event_tuples(report)] == [
        ("post", "1", None),
        ("reply", "2", "1"),
        ("reply", "3", "2"),
    ]
    with pytest.raises(EventsError, match=r"posts\.csv cannot be read as CSV in UTF-8: unexpected end of data"):
        import_discourse(write(tmp_path / "posts.csv", table + '"74,SECRET\n'), tmp_path / "events.parquet")
    own = "topic_title,categories,is_pm,post_raw,url,created_at\na,b,No,x,https://f.example/t/a/5/2,2024-03-01\n"
    with pytest.raises(EventsError, match="expected created_at, post_number, topic_id, and username or user_id"):
        import_discourse(write(tmp_path / "user_archive.csv", own), tmp_path / "events.parquet")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_discourse_tables_written_by_other_programs(tmp_path, separator):
    table = (
        "USER_ID, Topic_Id,post_number,reply_to_post_number,created_at\n"
        "1,5,1.0,,2024-03-01\n2,5,2.0,,2024-03-01\n3,5.0,3.0,2.0,2024-03-01\n"
    )
    file = write(tmp_path / "posts.csv", "\ufeff" + table.replace(",", separator))
    report = import_discourse(file, tmp_path / "events.parquet")
    assert event_tuples(report) == [
        ("post", "1", None, "5/1", None),
        ("reply", "2", "1", "5/1", "5/2"),
        ("reply", "3", "2", "5/2", "5/3"),
    ]


def tweet(number, text, mentions=(), urls=(), **more):
    entities = {
        "hashtags": [{"text": "Cats"}],
        "user_mentions": [{"id_str": user, "screen_name": "x"} for user in mentions],
        "urls": [{"expanded_url": url} for url in urls],
    }
    stamp = f"Fri Mar 01 10:00:0{number} +0000 2024"
    return {"tweet": {"id_str": str(number), "full_text": text, "created_at": stamp, "entities": entities, **more}}


@pytest.fixture
def x_archive(tmp_path):
    data = tmp_path / "archive" / "data"
    write(data / "account.js", 'window.YTD.account.part0 = [ {"account": {"username": "ann", "accountId": "1"}} ]')
    replied = {"in_reply_to_status_id_str": "77", "in_reply_to_user_id_str": "2"}
    status = "https://twitter.com/ann/status/1"
    tweets = [
        tweet(1, HALF),
        tweet(2, "@bob hi", ["2", "3", "-1"], [status], **replied),
        tweet(3, "RT @cid: x", ["4", "5"]),
        tweet(4, "that", urls=["https://y.example", "https://x.com/eve/status/88?s=20"]),
    ]
    write(data / "tweets.js", "window.YTD.tweets.part0 = " + json.dumps(tweets[:3]))
    write(data / "tweets-part1.js", "window.YTD.tweets.part1 = " + json.dumps(tweets[3:]) + ";\n")
    write(data / "like.js", 'window.YTD.like.part0 = [{"like": {"tweetId": "9"}}]')
    return tmp_path / "archive"


@pytest.mark.parametrize("inside", ["", "data"])
def test_x_archive(x_archive, tmp_path, inside):
    report = import_xarchive(x_archive / inside, tmp_path / "events.parquet")
    assert event_tuples(report) == [
        ("mention", "1", "3", "2", None),
        ("post", "1", None, "1", None),
        ("quote", "1", "1", "1", "2"),
        ("quote", "1", None, "88", "4"),
        ("reply", "1", "2", "77", "2"),
        ("repost", "1", "4", None, None),
    ]
    (first,) = by_verb(report, "post")
    assert (first["time"], first["topics"]) == (datetime(2024, 3, 1, 10, 0, 1, tzinfo=UTC), ["cats"])


def test_x_archive_of_plain_json(x_archive, tmp_path):
    write(x_archive / "data" / "tweets.js", [tweet(1, "x")])
    (x_archive / "data" / "tweets-part1.js").unlink()
    assert import_xarchive(x_archive, tmp_path / "events.parquet").accepted == 1


@pytest.mark.fast
def test_an_x_archive_without_account_is_explained(x_archive, tmp_path):
    (x_archive / "data" / "account.js").unlink()
    with pytest.raises(EventsError, match=r"lacks account\.js; expected the folder of an unpacked archive of X"):
        import_xarchive(x_archive, tmp_path / "events.parquet")
    with pytest.raises(EventsError, match=r"lacks tweets\.js"):
        import_xarchive(tmp_path, tmp_path / "events.parquet")


ODD = ["null", "5", '"x"', "[[]]", "[null, 5]", "{}", '{"messages": [1, null, {}]}', '{"messages": {}}', "[{}]"]


@pytest.mark.parametrize("data", [*ODD, "", "{", '{"messages": [', "\x00", '{"messages": [{"id": {"a": []}}]}'])
@pytest.mark.parametrize("importer", [import_discord, import_telegram, import_discourse])
def test_unusual_files_are_explained(tmp_path, importer, data):
    file = write(tmp_path / "x.json", data)
    message = r"cannot be read as JSON|found no messages in .*x\.json; expected|none of the [0-9] rows is an event"
    with pytest.raises(EventsError, match=message):
        importer(file, tmp_path / "events.parquet")


def test_a_file_in_utf16_is_explained(tmp_path):
    (tmp_path / "x.json").write_bytes(json.dumps(DISCORD).encode("utf-16"))
    with pytest.raises(EventsError, match=r"cannot be read as JSON.*It is in UTF-16; convert it with iconv"):
        import_discord(tmp_path / "x.json", tmp_path / "events.parquet")


def test_progress_is_the_share_of_the_bytes(tmp_path):
    write(tmp_path / "in" / "1.json", DISCORD)
    write(tmp_path / "in" / "2.json", DISCORD)
    shares = []
    import_discord(tmp_path / "in", tmp_path / "events.parquet", shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
