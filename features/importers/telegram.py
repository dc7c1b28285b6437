"""Import Telegram: `result.json` of Telegram Desktop, of one chat or of all.

Messages become posts and replies, forwarded ones reposts of their origin; service messages are rejected with their
action. User ids are `from_id`, such as user123 or channel123, the same in all exports. Mentions are those that hold the
user's id; an @name does not say whose it is. Reactions that the export lists with a user and a date become likes; most
are totals, which are never read. Topics are the chat's name and the hashtags. Times are `date_unixtime`; exports before
2021 lack it, and hold the exporter's local time, which is read as UTC. Reactions have local times only: they are as far
from UTC as the `date` of their message. All chats but groups and channels are private, such as personal ones, and those
that do not say before their messages what they are.

Source of the format: `export_output_json.cpp` of telegramdesktop/tdesktop. Steps of all sources of messages are in
`features/importers/messages.py`.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from features.importers.ingestion import ImportReport
from features.importers.messages import (
    NO_MESSAGE,
    Message,
    MessageSource,
    dict_of,
    id_of,
    list_of,
    reaction_to,
    text_of,
    unmapped,
)
from features.importers.readers.files import list_files
from features.importers.readers.json_stream import read_elements
from features.progress import Progress, ignore_progress

ENDINGS = (".json", ".json.gz")
EXPECTED = "result.json of Telegram Desktop (Export chat history, format JSON)"
CHATS = ("chats", "left_chats", "list")
GROUPS = ("private_group", "private_supergroup", "public_supergroup", "private_channel", "public_channel")


def import_telegram(path: Path, out: Path, progress: Progress = ignore_progress, private: bool = False) -> ImportReport:
    """Import a result.json, or a folder of them; parameters, report and errors are those of `MessageSource.ingest`."""
    files, notes = list_files(Path(path), ENDINGS, EXPECTED)
    return MessageSource("telegram", EXPECTED, _read).ingest(files, out, progress, private, notes)


def _read(file: Path, progress: Callable[[int], None]) -> Iterator[Message]:
    for chat, element in read_elements(file, progress, "messages", inside=CHATS):
        exported = dict_of(element)
        message = _message(exported, chat, file)
        yield message
        yield from _likes(exported, message)


def _message(exported: dict[str, object], chat: dict[str, object], file: Path) -> Message:
    entities = list_of(exported.get("text_entities")) or list_of(exported.get("text"))
    chat_id = id_of(chat.get("id")) or file.stem
    forwarded = bool(exported.get("forwarded_from"))
    return Message(
        id=f"{chat_id}/{id_of(exported.get('id'))}",
        time=text_of(exported.get("date_unixtime")) or text_of(exported.get("date")),
        author=text_of(exported.get("from_id")),
        text=_text(exported.get("text")),
        about=None if forwarded else _parent(exported, chat_id),
        target=text_of(exported.get("forwarded_from_id")) if forwarded else None,
        verb="repost" if forwarded else "",
        reason=_reason(exported),
        mentions=[f"user{user}" for entity in entities if (user := text_of(entity.get("user_id")))],
        topics=[name for name in (text_of(chat.get("name")), *_hashtags(entities)) if name],
        private=chat.get("type") not in GROUPS,
    )


def _likes(exported: dict[str, object], message: Message) -> Iterator[Message]:
    reactions, offset = list_of(exported.get("reactions")), _utc_offset(exported)
    for recent in (recent for reaction in reactions for recent in list_of(reaction.get("recent"))):
        yield reaction_to(message, text_of(recent.get("from_id")), _to_utc(text_of(recent.get("date")), offset))


def _utc_offset(exported: dict[str, object]) -> timedelta:
    """Return how far the local time of a message is ahead of UTC; zero where the export does not say it."""
    local, seconds = (text_of(exported.get(member)) or "" for member in ("date", "date_unixtime"))
    try:
        return datetime.fromisoformat(local) - datetime.fromtimestamp(int(seconds), UTC).replace(tzinfo=None)
    except (ValueError, TypeError, OverflowError, OSError):
        return timedelta(0)


def _to_utc(local: str | None, offset: timedelta) -> str | None:
    """Return a local time as UTC; a text that is no time stays as it is."""
    try:
        return (datetime.fromisoformat(local or "") - offset).isoformat()
    except (ValueError, OverflowError):
        return local


def _parent(exported: dict[str, object], chat_id: str) -> str | None:
    number, peer = id_of(exported.get("reply_to_message_id")), text_of(exported.get("reply_to_peer_id"))
    chat = "".join(filter(str.isdigit, peer)) if peer else chat_id
    return f"{chat}/{number}" if number else None


def _hashtags(entities: list[dict[str, object]]) -> list[str]:
    texts = [text_of(entity.get("text")) or "" for entity in entities if entity.get("type") == "hashtag"]
    return [text.lstrip("#").lower() for text in texts]


def _text(value: object) -> str | None:
    """Join the parts of a text: texts, and objects with a text."""
    if not isinstance(value, list):
        return text_of(value)
    return "".join(text_of(dict_of(part).get("text")) or text_of(part) or "" for part in value) or None


def _reason(exported: dict[str, object]) -> str | None:
    if not id_of(exported.get("id")):
        return NO_MESSAGE
    action = text_of(exported.get("action")) or ""
    is_message = exported.get("type", "message") == "message"
    return None if is_message else unmapped(f"service message {action}")
