"""Queries of the audit log: which requests were about a user, and whether its lines were tampered with."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from features.errors import AsOfError
from features.utc import UtcText, parse_utc
from serving.privacy.audit_files import BEGINS, AuditKey, Line, audit_files, key_file, read_key, read_lines
from training.home import Home

MAX_READS = 1_000
FIELDS = ("request_id", "method", "route", "status", "key", "name", "purpose", "refused", "as_of", "model_version")


@dataclass(frozen=True)
class Read:
    """One request or command that was about users.

    Parameters
    ----------
    time : when it was answered
    request_id : as in the header X-Request-ID, None for a command
    method : of HTTP; `command` for a command
    route : the route's template, or the command's name
    status : of the response, None for a command
    key : public id of the API key, empty if none was needed
    name : of the API key, `anybody` if none was needed; a command's operator
    purpose : as the caller sent it, None if absent
    refused : why the purpose was refused, None if it was not
    instants : those of the query, by parameter
    as_of, model_version : of the snapshot served at that time
    users : the number of users that it was about

    """

    time: UtcText
    request_id: str | None
    method: str
    route: str
    status: int | None
    key: str
    name: str
    purpose: str | None
    refused: str | None
    instants: dict[str, UtcText]
    as_of: UtcText | None
    model_version: str | None
    users: int


@dataclass(frozen=True)
class Reads:
    """The reads about a user, or about all users.

    Parameters
    ----------
    user : id of the user, None for all
    reads : newest first
    earlier : the time of the newest read beyond the limit, to be sent as `to` for the next page; None if there is none
    illegible : files with another key, in which no user can be found

    """

    user: str | None
    reads: tuple[Read, ...]
    earlier: UtcText | None
    illegible: tuple[str, ...]


@dataclass(frozen=True)
class Finding:
    """A problem of a file, at one of its lines if `line` is set."""

    file: str
    line: int | None
    message: str


@dataclass
class AuditCheck:
    """The result of a check.

    Parameters
    ----------
    heads : the number of lines of each file, and the seal of the last; a copy stored elsewhere shows later whether
        lines up to there were cut off
    tampered : lines that were altered, removed, added or moved
    notes : files that end within a line, as one that is being written does

    """

    heads: dict[str, tuple[int, str]] = field(default_factory=dict)
    tampered: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)

    @property
    def lines(self) -> int:
        """The number of lines."""
        return sum(lines for lines, _ in self.heads.values())


def reads_about(
    home: Home,
    user: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    limit: int = MAX_READS,
) -> Reads:
    """Collect the reads about a user, or about any.

    Parameters
    ----------
    home : the home with the audit log
    user : id of the user; default any
    start, end : the first and the last instant, both included; default unbounded
    limit : the maximum number of reads

    Raises
    ------
    AsOfError : the start is later than the end
    AuditError : the log cannot be read

    """
    if start is not None and end is not None and start > end:
        raise AsOfError(f"reads go from the earlier instant to the later: {start} is after {end}.")
    if not key_file(home).exists():
        return Reads(user, (), None, ())
    key, files = read_key(home), audit_files(home)
    legible = [file for file in files if _is_sealed_with(file, key)]
    keyed_id = None if user is None else key.keyed_id(user)
    entries: list[dict[str, Any]] = []
    for _, files_of_day in groupby(reversed(legible), key=lambda file: file.name[:10]):
        entries += _entries_of_day(files_of_day, keyed_id, start, end, limit + 1)
        if len(entries) > limit:
            break
    earlier = entries[limit]["time"] if len(entries) > limit else None
    illegible = tuple(file.name for file in files if file not in legible)
    return Reads(user, tuple(map(_read, entries[:limit])), earlier, illegible)


def _entries_of_day(
    files: Iterable[Path], keyed_id: str | None, start: datetime | None, end: datetime | None, limit: int
) -> list[dict[str, Any]]:
    """Return the newest entries of one day's files, newest first; lines without the keyed id are not parsed."""
    pattern = b"" if keyed_id is None else b'"%s"' % keyed_id.encode()
    entries: list[dict[str, Any]] = []
    for file in files:
        matches = (line.entry for line in read_lines(file) if pattern in line.body)
        entries += deque((entry for entry in matches if _is_within(entry, start, end)), maxlen=limit)
    return sorted(entries, key=lambda entry: entry["time"])[::-1][:limit]


def _is_within(entry: dict[str, Any], start: datetime | None, end: datetime | None) -> bool:
    """Return whether an entry is a read between two instants."""
    if not isinstance(entry.get("time"), str) or entry.get("event") == BEGINS:
        return False
    if start is None and end is None:
        return True
    at = parse_utc(entry["time"])
    return (start is None or at >= start) and (end is None or at <= end)


def _is_sealed_with(file: Path, key: AuditKey) -> bool:
    first = next(read_lines(file), None)
    return first is None or first.entry.get("secret", key.fingerprint) == key.fingerprint


def _read(entry: dict[str, Any]) -> Read:
    defaults = {"method": "", "route": "", "key": "", "name": ""}
    values: dict[str, Any] = {name: entry.get(name, defaults.get(name)) for name in FIELDS}
    return Read(time=entry["time"], **values, instants=entry.get("instants", {}), users=len(entry.get("about", ())))


def check_audit_log(home: Home) -> AuditCheck:
    """Verify the seal and number of every line.

    The check finds altered, removed, added or moved lines in each file. It does not find lines cut from the end of a
    file, or files removed completely: compare `heads` with an earlier copy for that.

    Raises
    ------
    AuditError : the log does not exist or cannot be read

    """
    key, check = read_key(home), AuditCheck()
    for file in audit_files(home):
        _check_file(check, file, key)
    return check


def _check_file(check: AuditCheck, file: Path, key: AuditKey) -> None:
    if not _is_sealed_with(file, key):
        check.tampered.append(Finding(file.name, 1, "is sealed with another key: restore its audit.key to check it"))
        return
    position, expected, previous = 0, 1, ""
    for line in read_lines(file):
        position = line.position
        if position == 1 and isinstance(after := line.entry.get("after"), list) and after:
            previous = str(after[-1])  # older versions continued the chain of the file that they name here
        message = _line_problem(line, expected, previous, key)
        if message is not None:
            check.tampered.append(Finding(file.name, position, message))
        number = line.entry.get("line")
        expected = (number if isinstance(number, int) else expected) + 1
        previous = line.seal
    check.heads[file.name] = (position, previous)
    if _ends_within_line(file):
        message = "is cut short: it is being written, or the process was killed while it was"
        check.notes.append(Finding(file.name, position + 1, message))


def _line_problem(line: Line, expected: int, previous: str, key: AuditKey) -> str | None:
    number = line.entry.get("line")
    if number is None:
        return "is not a line of the log"
    if number != expected:
        return f"has number {number}, expected {expected}: lines were removed, added or moved"
    if key.seal(previous, line.body) != line.seal:
        return "was altered, or a line before it was: its seal does not match"
    return None


def _ends_within_line(file: Path) -> bool:
    with file.open("rb") as content:
        content.seek(max(content.seek(0, 2) - 1, 0))
        return content.read(1) not in (b"", b"\n")
