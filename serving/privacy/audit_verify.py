"""The check of an audit log: whether its lines are those that were written, and where they are not."""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard

from serving.privacy.audit_segments import BEGINS, Line, Secret, audit_files, cut_short, lines, read_secret
from training.home import Home

Expected = dict[int, tuple[str, str]]


@dataclass(frozen=True)
class Finding:
    """Something about a file, and about one of its lines where there is one."""

    file: str
    line: int | None
    said: str


@dataclass
class Checked:
    """What a check came to.

    Parameters
    ----------
    heads : how far each file goes: its whole lines, and the seal of the last. Who keeps them elsewhere sees later
        that nothing up to there was taken away
    tampered : what no running service leaves behind: lines that were altered, removed, added or moved
    notes : what may be: files that were removed as a whole, and those that end within a line

    """

    heads: dict[str, tuple[int, str]] = field(default_factory=dict)
    tampered: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)

    @property
    def lines(self) -> int:
        """How many lines were read."""
        return sum(held for held, _ in self.heads.values())


def check(home: Home) -> Checked:
    """Read the whole log and say what does not fit.

    Each line is sealed with the one before, a file's first line with the last one of the file that its process wrote
    before, and it holds the last seals of the other files that it found. So lines cut from the end of a file are
    missed by the next file that was begun, whatever process began it; those cut since are not.

    Raises
    ------
    AuditError : there is no log, or it cannot be read

    """
    secret, files = read_secret(home), audit_files(home)
    witnessed = _witnessed(files)
    found = Checked()
    for file in files:
        _check_file(found, file, secret, witnessed.pop(file.name, {}))
    for name in sorted(witnessed):
        found.notes.append(Finding(name, None, "is no longer there, as where a finished day is removed as a whole"))
    return found


def _witnessed(files: list[Path]) -> dict[str, Expected]:
    """Return what files say of each other: by file, the seals of some of its lines, and which file saw them."""
    found: dict[str, Expected] = defaultdict(dict)
    for file in files:
        begin = next((line.entry for line in lines(file)), {})
        after, seen = begin.get("after"), begin.get("seen")
        told = (
            [[name, *head] for name, head in seen.items() if isinstance(head, list)] if isinstance(seen, dict) else []
        )
        for name, number, seal in filter(_is_head, [*told, after]):
            found[name][number] = (seal, file.name)
    return found


def _is_head(told: object) -> TypeGuard[list]:
    """Say whether it is what a file's first line tells of another: its name, a number of a line, that line's seal."""
    return isinstance(told, list) and [type(each) for each in told] == [str, int, str]


def _check_file(found: Checked, file: Path, secret: Secret, witnessed: Expected) -> None:
    before, due, last = "", 1, ""
    place = 0
    for line in lines(file):
        place, entry = line.place, line.entry
        if place == 1:
            if (name := entry.get("secret")) != secret.name and entry.get("event") == BEGINS:
                found.tampered.append(
                    Finding(file.name, 1, f"is sealed with another secret, {name}: put audit.key back")
                )
                return
            before = after[2] if _is_head(after := entry.get("after")) else ""
        said = _wrong(line, due, before, secret, witnessed)
        if said:
            found.tampered.append(Finding(file.name, place, said))
        number = entry.get("line")
        due = (number if isinstance(number, int) else due) + 1
        before = last = line.seal
    found.heads[file.name] = (place, last)
    _check_end(found, file, due - 1, witnessed)


def _wrong(line: Line, due: int, before: str, secret: Secret, witnessed: Expected) -> str | None:
    number = line.entry.get("line")
    if number is None:
        return "is no line of the log"
    if number != due:
        return f"is numbered {number}, where {due} is due: lines were removed, added or moved"
    if secret.seal(before, line.told) != line.seal:
        return "was altered, or what stood before it was: its seal does not fit"
    if number == 1 and line.entry.get("event") != BEGINS:
        return "does not begin the file"
    seal, saw = witnessed.get(number, (line.seal, ""))
    return None if seal == line.seal else f"is another than the one that {saw} saw"


def _check_end(found: Checked, file: Path, end: int, witnessed: Expected) -> None:
    missed = {number: saw for number, (_, saw) in witnessed.items() if number > end}
    if missed:
        number = max(missed)
        said = f"ends with line {end}, where {missed[number]} saw line {number}: lines at its end were removed"
        found.tampered.append(Finding(file.name, end, said))
    if cut_short(file):
        found.notes.append(
            Finding(file.name, end + 1, "is cut short: it is being written, or the process was killed while it was")
        )
