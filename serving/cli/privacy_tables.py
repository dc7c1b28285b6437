"""Terminal output of cases and of the audit log."""

import shlex

from features.console import print_commands, print_points, print_table, print_text, warn
from serving.privacy.audit_check_and_reads import AuditCheck, Read, Reads
from serving.privacy.case_comparison import CaseComparison, LinePair, LineSide
from serving.privacy.cases import DECISIONS, Case
from training.explanation.reasons import LEAST_POINTS
from training.home import Home

SHORT_TEXT_LENGTH = 60
COLUMNS = ["when", "who", "purpose", "request", "status", "snapshot", "users"]


def print_cases(cases: list[Case], state: str, more: bool) -> None:
    """Print cases, one per row, and whether there are more."""
    if not cases:
        print_text(f"There are no {'' if state == 'any' else f'{state} '}cases.")
        return
    rows = [
        [
            case.case,
            case.user,
            case.opened[:10],
            f"{case.as_of[:10]} ({case.scope})",
            _short(case.message),
            _state(case),
        ]
        for case in cases
    ]
    columns = ["case", "user", "opened", "score of", "message", "state"]
    print_table(f"Contested scores: {len(rows)}", columns, rows, len(columns))
    if more:
        print_text("There are more: --top says how many to list.")


def print_case(case: Case, today: CaseComparison, home: Home) -> None:
    """Print a case: the message, the ledger of then beside that of today, and the decision."""
    contested = case.explanation
    score = (
        f"{contested['score']:.1f} points, scope {case.scope}, as of {case.as_of}, model version {case.model_version}"
    )
    print_text(f"Case {case.case} of {case.user}, opened {case.opened} by {case.opened_by}, contests {score}.")
    print_points("What is wrong, in the user's words", case.message.splitlines())
    print_points("What raised the score most", contested["reasons_for"])
    print_points("What lowered it most", contested["reasons_against"])
    if case.decision is not None:
        decision = f"Resolved {case.resolved} by {case.resolved_by}: {case.decision} ({DECISIONS[case.decision]})"
        print_points(decision, str(case.reasons).splitlines())
    print_text(_today_message(today))
    print_text("")
    title = f"The points of then ({case.as_of[:10]}) and of today"
    print_table(title, ["", "then", "now", "moved"], _case_rows(case, today))
    if case.decision is None:
        command = home.command(f"resolve {case.case} --decision {'|'.join(DECISIONS)} --reason REASON")
        print_commands("To resolve it:", {command: ""})


def _case_rows(case: Case, today: CaseComparison) -> list[list[str]]:
    """Return rows for lines worth at least half a point then or now; only those of then if today has no ledger."""
    then, now = case.explanation, today.now
    start = ["Start", f"{then['base']:+.2f}", f"{now.base:+.2f}" if now else "", ""]
    if now is None:
        lines = [line for line in then["lines"] if abs(line["points"]) >= LEAST_POINTS]
        rows = [[f"  {line['sentence']}", f"{line['points']:+.2f}", "", ""] for line in lines]
    else:
        sides = [(pair, [side for side in (pair.then, pair.now) if side]) for pair in today.lines]
        rows = [_case_row(pair) for pair, both in sides if any(abs(side.points) >= LEAST_POINTS for side in both)]
    end = ["Score", f"{then['score']:.2f}", f"{now.score:.2f}" if now else "", _points_moved(today.moved)]
    return [start, *rows, end]


def _case_row(pair: LinePair) -> list[str]:
    sentences = list(dict.fromkeys(side.sentence for side in (pair.then, pair.now) if side is not None))
    return [f"  {' Now: '.join(sentences)}", _points(pair.then), _points(pair.now), _points_moved(pair.moved)]


def _points(side: LineSide | None) -> str:
    return "" if side is None else f"{side.points:+.2f}"


def _points_moved(points: float | None) -> str:
    return "" if points is None or abs(points) < 0.005 else f"{points:+.2f}"


def _today_message(today: CaseComparison) -> str:
    if today.now is None:
        return f"There is no score today: {today.absent}"
    if today.same_snapshot:
        return "The served snapshot is the contested one."
    model = "the same model" if today.same_model else f"another model, version {today.now.model_version}"
    return f"Today is the snapshot as of {today.now.as_of}, by {model}. Lines of less than half a point are not shown."


def _state(case: Case) -> str:
    return case.state if case.decision is None else f"{case.decision}, by {case.resolved_by}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHORT_TEXT_LENGTH else f"{line[: SHORT_TEXT_LENGTH - 3]}..."


def print_reads(reads: Reads, home: Home, start: str | None = None) -> None:
    """Print reads, newest first, and the command that prints those before them, from `start` on if there is one."""
    subject = "any user" if reads.user is None else reads.user
    if reads.reads:
        rows = [_audit_row(read) for read in reads.reads]
        print_table(f"Reads about {subject}: {len(rows)}, newest first", COLUMNS, rows, 5)
    else:
        print_text(f"The audit log has no read about {subject}.")
    if reads.earlier is not None:
        options = {"--user": reads.user, "--from": start, "--to": reads.earlier}
        words = [f"{option} {shlex.quote(value)}" for option, value in options.items() if value is not None]
        print_commands("Earlier reads:", {home.command(" ".join(["audit", *words])): ""})
    if reads.illegible:
        warn(f"sealed with another key, so that no user can be found in them: {', '.join(reads.illegible)}.")


def print_audit_check(check: AuditCheck) -> None:
    """Print the result of a check: the number of lines, notes, and tampered lines."""
    print_text(f"{check.lines:,} lines in {len(check.heads):,} files.")
    for note in check.notes:
        print_text(f"{note.file}{_line_label(note.line)} {note.message}.")
    for finding in check.tampered:
        warn(f"{finding.file}{_line_label(finding.line)} {finding.message}.")
    if not check.tampered:
        print_text(
            "No line was altered, removed, added or moved. --json reports the last seal of each file; compare it with "
            "an earlier copy to find lines cut from the end."
        )


def _audit_row(read: Read) -> list[str]:
    refused = f" (refused: {read.refused})" if read.refused else ""
    snapshot = f"{read.as_of[:10]}, model {read.model_version}" if read.as_of else ""
    return [
        read.time,
        read.name,
        f"{read.purpose or ''}{refused}",
        f"{read.method} {read.route}",
        "" if read.status is None else str(read.status),
        snapshot,
        f"{read.users:,}",
    ]


def _line_label(line: int | None) -> str:
    return "" if line is None else f", line {line}:"
