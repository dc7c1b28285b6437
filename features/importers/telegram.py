"""Import Telegram: `result.json` of Telegram Desktop, of one chat or of all.

Messages become posts and replies, forwarded ones reposts of their origin; service messages are rejected with their
action. User ids are `from_id`, such as user123 or channel123, the same in all exports. Mentions are those that hold the
user's id; an @name does not say whose it is. Reactions that the export lists with a user and a date become likes; most
are totals, which are never read. Topics are the chat's name and the hashtags. Times are `date_unixtime`; exports before
2021 lack it, and hold the exporter's local time, which is read as UTC. All chats but groups and channels are private,
such as personal ones, and those that do not say before their messages what they are.

Source of the format: `export_output_json.cpp` of telegramdesktop/tdesktop. Steps of all sources of messages are in
`features/importers/messages.py`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from features.importers.ingestion import ImportReport
from features.importers.messages import NO_MESSAGE, Message, MessageSource, dict_of, id_of, list_of, text_of, unmapped
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
        message = dict_of(element)
        entities = list_of(message.get("text_entities")) or list_of(message.get("text"))
        number, private = id_of(message.get("id")), chat.get("type") not in GROUPS
        chat_id, author = id_of(chat.get("id")) or file.stem, text_of(message.get("from_id"))
        piece = f"{chat_id}/{number}"
        forwarded = bool(message.get("forwarded_from"))
        yield Message(
            id=piece,
            time=text_of(message.get("date_unixtime")) or text_of(message.get("date")),
            author=author,
            text=_text(message.get("text")),
            about=None if forwarded else _parent(message, chat_id),
            target=text_of(message.get("forwarded_from_id")) if forwarded else None,
            verb="repost" if forwarded else "",
            reason=_reason(message),
            mentions=[f"user{user}" for entity in entities if (user := text_of(entity.get("user_id")))],
            topics=[name for name in (text_of(chat.get("name")), *_hashtags(entities)) if name],
            private=private,
        )
        for reaction in list_of(message.get("reactions")):
            for recent in list_of(reaction.get("recent")):
                yield Message(
                    time=text_of(recent.get("date")),
                    author=text_of(recent.get("from_id")),
                    about=piece,
                    target=author,
                    verb="like",
                    private=private,
                )


def _parent(message: dict[str, object], chat_id: str) -> str | None:
    number, peer = id_of(message.get("reply_to_message_id")), text_of(message.get("reply_to_peer_id"))
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


def _reason(message: dict[str, object]) -> str | None:
    if not id_of(message.get("id")):
        return NO_MESSAGE
    action = text_of(message.get("action")) or ""
    is_message = message.get("type", "message") == "message"
    return None if is_message else unmapped(f"service message {action}")
