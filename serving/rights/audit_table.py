"""The audit log on the terminal: who read, and what its check found."""

from features.terminal import say, table, warn
from serving.rights.audit_check import Checked
from serving.rights.audit_reads import Read, Reads

COLUMNS = ["when", "who", "purpose", "request", "status", "snapshot", "people"]


def reads_table(told: Reads) -> None:
    """Print reads, newest first."""
    about = "anybody" if told.user is None else told.user
    if told.reads:
        table(f"Reads about {about}: {len(told.reads)}, newest first", COLUMNS, [_row(read) for read in told.reads], 5)
    else:
        say(f"The audit log holds no read about {about}.")
    if told.earlier is not None:
        say(f"There are earlier ones: clout audit --to {told.earlier}")
    if told.illegible:
        warn(f"sealed with another secret, so that nobody is found in them: {', '.join(told.illegible)}.")


def checked_table(checked: Checked) -> None:
    """Print what a check came to: how much there is, what may be, and what was tampered with."""
    say(f"{checked.lines:,} lines in {len(checked.heads):,} files.")
    for note in checked.notes:
        say(f"{note.file}{_line(note.line)} {note.said}.")
    for finding in checked.tampered:
        warn(f"{finding.file}{_line(finding.line)} {finding.said}.")
    if not checked.tampered:
        say(
            "Every line is as it was written. --json tells how far each file goes: kept elsewhere, it shows later cuts."
        )


def _row(read: Read) -> list[str]:
    refused = f" (refused: {read.refused})" if read.refused else ""
    snapshot = f"{read.as_of[:10]}, model {read.model_version}" if read.as_of else ""
    return [
        read.time,
        read.name,
        f"{read.purpose or ''}{refused}",
        f"{read.method} {read.route}",
        "" if read.status is None else str(read.status),
        snapshot,
        f"{read.people:,}",
    ]


def _line(line: int | None) -> str:
    return "" if line is None else f", line {line}:"
