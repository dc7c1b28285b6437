"""Import Slack: the folder of an unpacked export of a workspace, with a folder of days per channel.

Messages become posts, and those in a thread replies to the message that began it. Messages of subtypes that report on
the channel, such as channel_join, are rejected with the subtype. User ids are Slack's, such as U012AB3CD; messages of
integrations count for their bot_id. Mentions are `<@U012AB3CD>`. Reactions have users, but no times. Topics are the
channel's name. Direct messages, of two or more (dms.json, mpims.json), are private; private channels (groups.json) are
not.

Source of the format: an export in hfaran/slack-export-viewer, and its `reader.py`. Steps of all sources of messages are
in `features/importers/messages.py`.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from features.errors import EventsError
from features.importers.ingestion import ImportReport
from features.importers.messages import (
    NO_MESSAGE,
    Message,
    MessageSource,
    dict_of,
    list_of,
    reaction_to,
    text_of,
    unmapped,
)
from features.importers.readers.files import require_utf8_name
from features.importers.readers.json_stream import read_elements
from features.progress import Progress, ignore_progress

EXPECTED = "the folder of an unpacked Slack export, with channels.json and a folder per channel"
LISTS = ("channels.json", "groups.json", "dms.json", "mpims.json")
PRIVATE_LISTS = ("dms.json", "mpims.json")
MESSAGE_SUBTYPES = ("bot_message", "file_share", "me_message", "thread_broadcast")
MENTION = re.compile(r"<@([A-Z0-9]+)(?:\|[^>]*)?>")


def import_slack(path: Path, out: Path, progress: Progress = ignore_progress, private: bool = False) -> ImportReport:
    """Import an unpacked export; other parameters, report and errors are those of `MessageSource.ingest`.

    Raises
    ------
    EventsError : the folder is not an export, or a file cannot be read

    """
    folder = Path(path)
    if not folder.is_dir() or not any((folder / name).exists() for name in LISTS):
        raise EventsError(f"{folder} is not a Slack export; expected {EXPECTED}.")
    files = sorted(file for file in folder.glob("*/*.json") if file.is_file())
    if not files:
        raise EventsError(f"{folder} holds no messages; expected {EXPECTED}, with a file for each day.")
    for file in files:
        require_utf8_name(file)
    channels = {name: channel for list_ in LISTS for name, channel in _channels(folder / list_).items()}
    return MessageSource("slack", EXPECTED, partial(_read, channels)).ingest(files, out, progress, private)


def _channels(file: Path) -> dict[str, tuple[str, bool]]:
    """Return the id of each channel by the name of its folder, and whether it is private."""
    if not file.exists():
        return {}
    channels = [dict_of(channel) for _, channel in read_elements(file, lambda _: None)]
    ids = {
        text_of(channel.get("name")) or text_of(channel.get("id")): text_of(channel.get("id")) for channel in channels
    }
    return {name: (number, file.name in PRIVATE_LISTS) for name, number in ids.items() if name and number}


def _read(channels: dict[str, tuple[str, bool]], file: Path, progress: Callable[[int], None]) -> Iterator[Message]:
    name = file.parent.name
    channel, private = channels.get(name, (name, False))
    for _, element in read_elements(file, progress):
        exported = dict_of(element)
        message = replace(_message(exported, channel), topics=[name], private=private)
        yield message
        yield from _likes(exported, message)


def _message(exported: dict[str, object], channel: str) -> Message:
    text, stamp, thread = (text_of(exported.get(member)) for member in ("text", "ts", "thread_ts"))
    is_reply = thread is not None and thread != stamp
    return Message(
        id=f"{channel}/{stamp}",
        time=stamp,
        author=text_of(exported.get("user")) or text_of(exported.get("bot_id")),
        text=text,
        about=f"{channel}/{thread}" if is_reply else None,
        target=text_of(exported.get("parent_user_id")) if is_reply else None,
        reason=_reason(exported),
        mentions=list(dict.fromkeys(MENTION.findall(text or ""))),
    )


def _likes(exported: dict[str, object], message: Message) -> Iterator[Message]:
    for reaction in list_of(exported.get("reactions")):
        users = reaction.get("users")
        yield from (reaction_to(message, text_of(user)) for user in (users if isinstance(users, list) else []))


def _reason(exported: dict[str, object]) -> str | None:
    if not text_of(exported.get("ts")):
        return NO_MESSAGE
    subtype = text_of(exported.get("subtype"))
    is_message = subtype is None or subtype in MESSAGE_SUBTYPES
    return None if is_message else unmapped(str(subtype))
