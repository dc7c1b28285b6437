"""Import an archive of X (Twitter) that a user downloads of the own account, unpacked.

Tweets become posts and replies; those that begin with RT reposts; those with the address of another tweet quotes of it;
and mentions. All are by the account of `account.js`; what others did with its tweets is not in an archive. User ids are
X's numbers. Topics are the hashtags. Likes (`like.js`) and followers have no times and are not read; totals such as
favorite_count are never read. Edited tweets count once per version, as in the archive.

Source of the format: archives of 2019 to 2025 as other importers of them show them: `data/tweets.js`, before 2022
`data/tweet.js`, and further parts, each `window.YTD.tweets.part0 = [{"tweet": {...}}, ...]`. Steps of all sources of
messages are in `features/importers/messages.py`.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from features.errors import EventsError
from features.importers.ingestion import ImportReport
from features.importers.messages import NO_MESSAGE, Message, MessageSource, dict_of, list_of, text_of
from features.importers.readers.files import require_utf8_name
from features.importers.readers.json_stream import read_elements
from features.progress import Progress, ignore_progress

EXPECTED = "the folder of an unpacked archive of X, with data/account.js and data/tweets.js"
TWEETS = re.compile(r"tweets?(-part[0-9]+)?\.js")
STATUS = re.compile(r"https?://(?:mobile\.)?(?:twitter|x)\.com/[^/]+/status/([0-9]+)")
TIME = "%a %b %d %H:%M:%S %z %Y"


def import_xarchive(path: Path, out: Path, progress: Progress = ignore_progress) -> ImportReport:
    """Import an unpacked archive, or its folder `data`; parameters, report and errors as in `MessageSource.ingest`.

    Raises
    ------
    EventsError : the account or the tweets are missing, or a file cannot be read

    """
    folder = Path(path) / "data" if (Path(path) / "data").is_dir() else Path(path)
    files = sorted(file for file in folder.glob("*.js") if TWEETS.fullmatch(file.name))
    if not files or not (folder / "account.js").exists():
        raise EventsError(f"{path} lacks {'account.js' if files else 'tweets.js'}; expected {EXPECTED}.")
    require_utf8_name(folder)
    return MessageSource("x", EXPECTED, partial(_read, _account(folder / "account.js"))).ingest(
        files, out, progress, True
    )


def _account(file: Path) -> str:
    for _, element in read_elements(file, lambda _: None, start="="):
        if user := text_of(dict_of(dict_of(element).get("account")).get("accountId")):
            return user
    raise EventsError(f"{file} has no accountId; expected {EXPECTED}.")


def _read(account: str, file: Path, progress: Callable[[int], None]) -> Iterator[Message]:
    for _, element in read_elements(file, progress, start="="):
        tweet = dict_of(dict_of(element).get("tweet", element))
        entities = dict_of(tweet.get("entities"))
        text = text_of(tweet.get("full_text")) or text_of(tweet.get("text")) or ""
        mentioned = [user for user in map(_user, list_of(entities.get("user_mentions"))) if user]
        message = Message(
            id=text_of(tweet.get("id_str")),
            time=_time(text_of(tweet.get("created_at"))),
            author=account,
            topics=[tag.lower() for item in list_of(entities.get("hashtags")) if (tag := text_of(item.get("text")))],
            reason=None if text_of(tweet.get("id_str")) else NO_MESSAGE,
        )
        yield from _with_kind(message, tweet, text, mentioned, _quoted(entities))


def _with_kind(
    message: Message, tweet: dict[str, object], text: str, mentioned: list[str], quoted: str | None
) -> Iterator[Message]:
    """Yield a tweet as a repost; or as a post, reply or quote, and a reply that quotes as both."""
    if text.startswith("RT @"):
        yield replace(message, verb="repost", target=mentioned[0] if mentioned else None)
        return
    parent = text_of(tweet.get("in_reply_to_status_id_str"))
    target = text_of(tweet.get("in_reply_to_user_id_str"))
    main = replace(message, text=text, mentions=mentioned)
    if parent or not quoted:
        yield replace(main, about=parent, target=target)
    if quoted:
        yield replace(message if parent else main, about=quoted, verb="quote")


def _user(mention: dict[str, object]) -> str | None:
    user = text_of(mention.get("id_str"))
    return None if user == "-1" else user


def _quoted(entities: dict[str, object]) -> str | None:
    addresses = [text_of(url.get("expanded_url")) or "" for url in list_of(entities.get("urls"))]
    return next((match[1] for match in map(STATUS.match, addresses) if match), None)


def _time(text: str | None) -> str | None:
    try:
        return datetime.strptime(text or "", TIME).isoformat()
    except ValueError:
        return text
