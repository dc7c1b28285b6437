"""Who read about somebody: the lines of an audit log, newest first."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from features.errors import AsOfError
from features.utc import parse_utc
from serving.privacy.audit_segments import BEGINS, Line, Secret, audit_files, lines, read_secret, secret_file
from training.home import Home

MOST_READS = 1_000


@dataclass(frozen=True)
class Read:
    """One request or command that was about people.

    `key` and `name` are of the API key, empty and `anybody` where none was needed; a command names who ran it.
    `purpose` is as the caller gave it, and `refused` the prohibited purpose that it was understood as. `instants` are
    those of the query; `as_of` and `model_version` are of the snapshot that was newest then. `people` is how many it
    was about.
    """

    time: str
    request_id: str | None
    method: str
    route: str
    status: int | None
    key: str
    name: str
    purpose: str | None
    refused: str | None
    instants: dict[str, str]
    as_of: str | None
    model_version: str | None
    people: int


@dataclass(frozen=True)
class Reads:
    """What an audit log holds about a user, or about all, newest first.

    `earlier` is the time of the newest one that was left out: ask again with it as `to`; None where none was.
    `illegible` are files that another secret sealed, in which nobody can be found.
    """

    user: str | None
    reads: tuple[Read, ...]
    earlier: str | None
    illegible: tuple[str, ...]


def reads(
    home: Home,
    user: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    most: int = MOST_READS,
) -> Reads:
    """Collect who read about a user, or about anybody.

    Parameters
    ----------
    home : whose audit log
    user : about whom; anybody unless given
    start, end : the first and the last instant that counts, both included; unbounded unless given
    most : how many are told

    Raises
    ------
    AsOfError : the start is later than the end
    AuditError : the log cannot be read

    """
    if start is not None and end is not None and start > end:
        raise AsOfError(f"reads go from the earlier instant to the later: {start} is after {end}.")
    if not secret_file(home).exists():
        return Reads(user, (), None, ())
    secret = read_secret(home)
    files = audit_files(home)
    legible = [file for file in files if _sealed_with(file, secret)]
    found: list[dict[str, Any]] = []
    for _, of_day in groupby(reversed(legible), key=lambda file: file.name[:10]):
        found += _of_day(of_day, None if user is None else secret.mark(user), start, end, most + 1)
        if len(found) > most:
            break
    earlier = found[most]["time"] if len(found) > most else None
    illegible = tuple(file.name for file in files if file not in legible)
    return Reads(user, tuple(map(_read, found[:most])), earlier, illegible)


def _of_day(
    files: Iterable[Path], mark: str | None, start: datetime | None, end: datetime | None, most: int
) -> list[dict[str, Any]]:
    """Return the newest entries of the files of one day, newest first; lines without the mark are not taken apart."""
    sought = None if mark is None else b'"%s"' % mark.encode()
    kept: list[dict[str, Any]] = []
    for file in files:
        matching = (line for line in lines(file) if sought is None or sought in line.told)
        kept += deque((entry for entry in map(_entry, matching) if entry and _within(entry, start, end)), maxlen=most)
    return sorted(kept, key=lambda entry: entry["time"])[::-1][:most]


def _entry(line: Line) -> dict[str, Any] | None:
    """Return what a line tells of a request; None where it tells of none."""
    entry = line.entry
    return entry if isinstance(entry.get("time"), str) and entry.get("event") != BEGINS else None


def _within(entry: dict[str, Any], start: datetime | None, end: datetime | None) -> bool:
    if start is None and end is None:
        return True
    at = parse_utc(entry["time"])
    return (start is None or at >= start) and (end is None or at <= end)


def _sealed_with(file: Path, secret: Secret) -> bool:
    first = next(iter(lines(file)), None)
    return first is None or first.entry.get("secret", secret.name) == secret.name


def _read(entry: dict[str, Any]) -> Read:
    kept = ("request_id", "method", "route", "status", "key", "name", "purpose", "refused", "as_of", "model_version")
    usual = {"method": "", "route": "", "key": "", "name": ""}
    told: dict[str, Any] = {name: entry.get(name, usual.get(name)) for name in kept}
    return Read(time=entry["time"], **told, instants=entry.get("instants", {}), people=len(entry.get("about", ())))
