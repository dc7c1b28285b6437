"""Import Discord: the JSON of DiscordChatExporter, a file per channel.

Messages of type Default and Reply become posts and replies; a Default that refers to another message forwards it, a
repost; other types are rejected with their name. User ids are Discord's numbers, network-wide. Topics are the channel's
name. Reactions have users, but no times. Private threads are private, and so is every channel that is not of a guild,
or does not say what it is. Deleted users are unknown: they have one id together.

Source of the format: `JsonMessageWriter.cs` of Tyrrrz/DiscordChatExporter. Steps of all sources of messages are in
`features/importers/messages.py`.
"""

from collections.abc import Callable, Iterator
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
EXPECTED = "channels in JSON, as DiscordChatExporter writes them (--format Json)"
PRIVATE_THREAD = "GuildPrivateThread"
MESSAGE_TYPES = ("Default", "Reply")
DELETED = ("456226577798135808", "Deleted User")  # what Discord shows in place of any deleted user


def import_discord(path: Path, out: Path, progress: Progress = ignore_progress, private: bool = False) -> ImportReport:
    """Import a channel, or a folder of channels; parameters, report and errors are those of `MessageSource.ingest`."""
    files, notes = list_files(Path(path), ENDINGS, EXPECTED)
    return MessageSource("discord", EXPECTED, _read).ingest(files, out, progress, private, notes)


def _read(file: Path, progress: Callable[[int], None]) -> Iterator[Message]:
    for context, element in read_elements(file, progress, "messages"):
        exported = dict_of(element)
        message = _message(exported, dict_of(context.get("channel")))
        yield message
        for reaction in list_of(exported.get("reactions")):
            yield from (reaction_to(message, _user(user)) for user in list_of(reaction.get("users")))


def _message(exported: dict[str, object], channel: dict[str, object]) -> Message:
    kind, topic = text_of(channel.get("type")) or "", text_of(channel.get("name"))
    reference = dict_of(exported.get("reference"))
    return Message(
        id=id_of(exported.get("id")),
        time=text_of(exported.get("timestamp")),
        author=_user(exported.get("author")),
        text=text_of(exported.get("content")),
        about=id_of(reference.get("messageId")),
        verb="repost" if reference.get("type") == "Forward" else "",
        reason=_reason(exported),
        mentions=[name for mention in list_of(exported.get("mentions")) if (name := _user(mention))],
        topics=[topic] if topic else [],
        private=not kind.startswith("Guild") or kind == PRIVATE_THREAD,
    )


def _user(value: object) -> str | None:
    user = text_of(dict_of(value).get("id"))
    return None if user in DELETED else user


def _reason(exported: dict[str, object]) -> str | None:
    kind = text_of(exported.get("type"))
    if not id_of(exported.get("id")):
        return NO_MESSAGE
    return None if kind in MESSAGE_TYPES else unmapped(kind or "no type")
