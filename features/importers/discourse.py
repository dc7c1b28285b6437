"""Import Discourse: topics and posts in JSON, as its API returns them, and exports of its posts in CSV.

| file | posts |
|---|---|
| `/t/ID.json`, also with `?print=true` | `post_stream.posts` |
| `/posts.json` | `latest_posts` |
| a list of topics or posts, or one per line | its elements |
| CSV or CSV.gz of the table `posts`, such as by the plugin Data Explorer | its rows |

The first post of a topic is a post, all others are replies: to the post that they name, or else to the first one of the
topic. Quotes in a post's HTML (`cooked`) are quotes of the user that they name. User ids are `username`, or `user_id`
where there is none, so do not mix files with and without names; a mention in upper or lower case is of the same user.
Topics are the tags. Likes are not in these files: the API only returns totals, which are never read; import the table
`post_actions` with `clout import table`. Posts by the system about a topic, whispers and deleted posts are rejected;
topics of personal messages are private.

Source of the format: `post_serializer.rb` and `db/structure.sql` of discourse/discourse. `user_archive.csv`, which a
user may download, does not say whose posts it holds, and is refused. Steps of all sources of messages are in
`features/importers/messages.py`.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from features.errors import EventsError
from features.importers.ingestion import ImportReport
from features.importers.messages import Message, MessageSource, dict_of, id_of, list_of, text_of, unmapped
from features.importers.readers.files import hint_about_content, list_files, open_decompressed
from features.importers.readers.json_stream import read_elements
from features.importers.readers.tabular import read_header
from features.progress import Progress, ignore_progress

ENDINGS = (".json", ".json.gz", ".jsonl", ".jsonl.gz", ".csv", ".csv.gz")
EXPECTED = "topics or posts of Discourse in JSON, or its table of posts in CSV"
COLUMNS = ("created_at", "post_number", "topic_id")
QUOTE = re.compile(r"<aside\b[^>]*\bclass=[\"'][^\"']*\bquote\b[^>]*>")
ATTRIBUTE = re.compile(r"data-(username|post|topic)=[\"']([^\"']*)[\"']")
MENTION = re.compile(r"<a\b[^>]*\bclass=[\"']mention[\"'][^>]*>@([^<]+)</a>")
POST_TYPES = {"2": "moderator action", "3": "small action", "4": "whisper"}


def import_discourse(
    path: Path, out: Path, progress: Progress = ignore_progress, private: bool = False
) -> ImportReport:
    """Import a file, or a folder of files; parameters, report and errors are those of `MessageSource.ingest`."""
    files, notes = list_files(Path(path), ENDINGS, EXPECTED)
    return MessageSource("discourse", EXPECTED, _read, ignore_case=True).ingest(files, out, progress, private, notes)


def _read(file: Path, progress: Callable[[int], None]) -> Iterator[Message]:
    if ".csv" in file.name.lower():
        for row in _csv_rows(file):
            yield from _messages(row, {})
        progress(file.stat().st_size)
        return
    for _, element in read_elements(file, progress):
        topic = dict_of(element)
        posts = list_of(dict_of(topic.get("post_stream")).get("posts")) or list_of(topic.get("latest_posts"))
        for post in posts or [topic]:
            yield from _messages(post, topic)


def _csv_rows(file: Path) -> Iterator[dict[str, object]]:
    csv.field_size_limit(1 << 30)
    try:
        with open_decompressed(file) as source:
            lines = io.TextIOWrapper(source, encoding="utf-8-sig", newline="")
            header = read_header(file)
            columns = [name.lower() for name in header.names]
            if not {"username", "user_id"} & set(columns) or not set(COLUMNS) <= set(columns):
                raise EventsError(
                    f"{file} has the columns {', '.join(columns[:12]) or '(none)'}; expected {', '.join(COLUMNS)}, and "
                    "username or user_id."
                )
            reader = csv.DictReader(lines, columns, delimiter=header.delimiter, strict=True)
            yield from islice(reader, header.lines, None)
    except (OSError, ValueError, EOFError, csv.Error) as error:
        raise EventsError(f"{file} cannot be read as CSV in UTF-8: {error}. {hint_about_content(file)}") from error


def _messages(post: dict[str, object], topic: dict[str, object]) -> Iterator[Message]:
    topic_id, number = id_of(post.get("topic_id")) or id_of(topic.get("id")), id_of(post.get("post_number"))
    html = text_of(post.get("cooked")) or ""
    parent = id_of(post.get("reply_to_post_number")) or ("1" if number != "1" else None)
    archetype = topic.get("archetype") or post.get("topic_archetype") or post.get("archetype")
    message = Message(
        id=f"{topic_id}/{number}",
        time=text_of(post.get("created_at")),
        author=_author(post),
        text=text_of(post.get("raw")) or html,
        about=f"{topic_id}/{parent}" if parent else None,
        target=text_of(dict_of(post.get("reply_to_user")).get("username")),
        reason=_reason(post, topic_id, number),
        mentions=list(dict.fromkeys(MENTION.findall(html))),
        topics=_tags(topic.get("tags")),
        private=archetype == "private_message",
    )
    yield message
    for quoted, user in dict.fromkeys(_quotes(html, topic_id)) if message.reason is None else ():
        yield replace(message, text=None, mentions=(), about=quoted, target=user, verb="quote")


def _author(post: dict[str, object]) -> str | None:
    return text_of(post.get("username")) or text_of(post.get("user_id"))


def _quotes(html: str, topic_id: str | None) -> Iterator[tuple[str | None, str]]:
    for tag in QUOTE.findall(html):
        fields = dict(ATTRIBUTE.findall(tag))
        if user := fields.get("username"):
            number = fields.get("post")
            yield f"{fields.get('topic', topic_id)}/{number}" if number else None, user


def _tags(value: object) -> list[str]:
    tags = value if isinstance(value, list) else []
    return [name for tag in tags if (name := text_of(tag) or text_of(dict_of(tag).get("name")))]


def _reason(post: dict[str, object], topic_id: str | None, number: str | None) -> str | None:
    if not topic_id or not number:
        return "not a post: topic_id or post_number is missing"
    kind = id_of(post.get("post_type")) or "1"
    if kind != "1":
        return unmapped(POST_TYPES.get(kind, f"post_type {kind[:10]}"))
    return "deleted post" if text_of(post.get("deleted_at")) else None
