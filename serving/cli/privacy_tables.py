"""Cases on the terminal: the list that waits, and one case with its ledger then and now.

The audit log on the terminal: who read, and what its check found.
"""

from features.console import print_message, print_table, warn
from serving.privacy.audit_queries import AuditCheck, Read, Reads
from serving.privacy.case_comparison import CaseComparison, Pair, Side
from serving.privacy.cases import DECISIONS, Case
from training.explanation.reasons import LEAST_POINTS

SHOWN_TEXT = 60


def cases_table(found: list[Case], state: str) -> None:
    """Print cases, one a row."""
    if not found:
        print_message(f"There are no {'' if state == 'any' else f'{state} '}cases.")
        return
    rows = [
        [each.case, each.user, each.opened[:10], f"{each.as_of[:10]} ({each.scope})", _short(each.said), _state(each)]
        for each in found
    ]
    print_table(
        f"Contested scores: {len(rows)}", ["case", "user", "opened", "score of", "said", "state"], rows, text_columns=6
    )


def case_table(case: Case, today: CaseComparison) -> None:
    """Print a case: what was said, the ledger as it was beside today's, and what became of it."""
    told = case.explanation
    print_message(f"Case {case.case} of {case.user}, opened {case.opened} by {case.opened_by}.")
    print_message(
        f"It contests {told['score']:.1f} points, scope {case.scope}, as of {case.as_of}, model {case.model_version}:"
    )
    print_message("\n".join(f"  {line}" for line in case.said.splitlines()))
    title = f"The ledger of then ({case.as_of[:10]}) and of today"
    print_table(title, ["", "then", "now", "moved"], _rows(case, today))
    for about, sentences in (("For it", told["reasons_for"]), ("Against it", told["reasons_against"])):
        if sentences:
            print_message(f"{about}, then: {' '.join(sentences)}")
    print_message(_today(today))
    if case.decision is not None:
        print_message(f"Resolved {case.resolved} by {case.resolved_by}, {case.decision} ({DECISIONS[case.decision]}):")
        print_message("\n".join(f"  {line}" for line in str(case.reasons).splitlines()))
    else:
        print_message(f"Resolve it: clout resolve {case.case} --decision {'|'.join(DECISIONS)} --reason REASON")


def _rows(case: Case, today: CaseComparison) -> list[list[str]]:
    """Show the lines that are worth half a point, then or now; without today's ledger, that of then alone."""
    then, now = case.explanation, today.now
    start = ["Where everybody starts", f"{then['base']:+.2f}", f"{now.base:+.2f}" if now else "", ""]
    if now is None:
        lines = [line for line in then["lines"] if abs(line["points"]) >= LEAST_POINTS]
        rows = [[f"  {line['sentence']}", f"{line['points']:+.2f}", "", ""] for line in lines]
    else:
        rows = [_case_row(pair) for pair in today.lines if _counts(pair)]
    end = ["Score", f"{then['score']:.2f}", f"{now.score:.2f}" if now else "", _moved(today.moved)]
    return [start, *rows, end]


def _counts(pair: Pair) -> bool:
    return any(side is not None and abs(side.points) >= LEAST_POINTS for side in (pair.then, pair.now))


def _case_row(pair: Pair) -> list[str]:
    sentences = list(dict.fromkeys(side.sentence for side in (pair.then, pair.now) if side is not None))
    return [f"  {' Now: '.join(sentences)}", _points(pair.then), _points(pair.now), _moved(pair.moved)]


def _points(side: Side | None) -> str:
    return "" if side is None else f"{side.points:+.2f}"


def _moved(points: float | None) -> str:
    return "" if points is None or abs(points) < 0.005 else f"{points:+.2f}"


def _today(today: CaseComparison) -> str:
    if today.now is None:
        return f"There is no ledger of today: {today.absent}"
    if today.same_snapshot:
        return "The newest snapshot is the one that is contested."
    model = "the same model" if today.same_model else f"another model, version {today.now.model_version}"
    return (
        f"Today is the snapshot as of {today.now.as_of}, by {model}. Lines worth less than half a point are left out."
    )


def _state(case: Case) -> str:
    return case.state if case.decision is None else f"{case.decision}, by {case.resolved_by}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_TEXT else f"{line[: SHOWN_TEXT - 3]}..."


COLUMNS = ["when", "who", "purpose", "request", "status", "snapshot", "people"]


def reads_table(told: Reads) -> None:
    """Print reads, newest first."""
    about = "anybody" if told.user is None else told.user
    if told.reads:
        print_table(
            f"Reads about {about}: {len(told.reads)}, newest first",
            COLUMNS,
            [_audit_row(read) for read in told.reads],
            5,
        )
    else:
        print_message(f"The audit log holds no read about {about}.")
    if told.earlier is not None:
        print_message(f"There are earlier ones: clout audit --to {told.earlier}")
    if told.illegible:
        warn(f"sealed with another secret, so that nobody is found in them: {', '.join(told.illegible)}.")


def checked_table(checked: AuditCheck) -> None:
    """Print what a check came to: how much there is, what may be, and what was tampered with."""
    print_message(f"{checked.lines:,} lines in {len(checked.heads):,} files.")
    for note in checked.notes:
        print_message(f"{note.file}{_line(note.line)} {note.said}.")
    for finding in checked.tampered:
        warn(f"{finding.file}{_line(finding.line)} {finding.said}.")
    if not checked.tampered:
        print_message(
            "Every line is as it was written. --json tells how far each file goes: kept elsewhere, it shows later cuts."
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
        f"{read.people:,}",
    ]


def _line(line: int | None) -> str:
    return "" if line is None else f", line {line}:"
