"""Terminal tables about one user: the explanation of a score, its history, and the posts that earned it."""

import shlex
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from features.catalogue.wording import count_of
from features.console import print_commands, print_points, print_table, print_text, warn

if TYPE_CHECKING:
    from features.engagement_report import EngagementReport, Piece
    from serving.review.history import History, PastScore
    from serving.snapshots.explanation import Explanation
    from training.home import Home

SCORED = "scored"
COLUMNS = ["as of", "score", "change", "range of people", "among all", "model"]
MOST_NAMED = 5
BAR, ROOM = 8, 1
LONGEST_NAME = 24
REASONS = ("for", "against", "rest")  # the sections that the facts stand for
WHY, START = "Why, in points", "The average score of these users."
LOWEST, HIGHEST = "Raised to 0, the lowest score.", "Lowered to 100, the highest score."


def print_explanation(explanation: "Explanation", plain: bool = False) -> None:
    """Print the story of a score, its reasons with the points before them; with `plain`, the story in brief.

    Where evidence is insufficient, there are no reasons. A plain story has ten lines, at 80 characters a line.
    """
    from serving.snapshots.brief import brief
    from serving.snapshots.story import time_named_once

    if plain:
        for paragraph in brief(explanation):
            print_text(paragraph)
        return
    shorten = time_named_once()
    for section in explanation.story:
        if section.topic not in REASONS:
            print_points(section.title, [shorten(sentence) for sentence in section.sentences])
        if section.topic == "score" and explanation.missing is None:
            print_reasons(explanation, shorten)
    if explanation.missing is not None:
        print_text("--json gives the figures anyway.")
        return
    print_text(f"Model version {explanation.model_version}{'' if explanation.released else ', not released'}.")


def print_reasons(explanation: "Explanation", shorten: Callable[[str], str]) -> None:
    """Print the facts of a score, strongest first, with their points before them: they add up to the score as printed.

    `shorten` is applied to each text.
    """
    facts = [(f"{fact.points:+.1f}", fact.sentence) for fact in explanation.facts if fact.points]
    if explanation.clipped:
        facts.append((f"{explanation.clipped:+.1f}", LOWEST if explanation.clipped > 0 else HIGHEST))
    texts = [(f"{explanation.base:.1f}", START), *facts, (f"{explanation.score:.1f}", "The score.")]
    print_points(WHY, [shorten(text) for _, text in texts], [points for points, _ in texts])


def history_table(history: "History", home: "Home") -> None:
    """Print a history; points with insufficient evidence show no number, and no change to or from them."""
    before = [None, *history.scores[:-1]]
    rows = [_history_row(point, earlier) for point, earlier in zip(history.scores, before, strict=True)]
    of = "" if history.scope == "all" else f", scope {history.scope}"
    count = len(rows) + len(history.absent) + len(history.damaged)
    print_table(f"The scores of {history.user}{of}: {len(rows)} of {_some(count, 'snapshot')}", COLUMNS, rows)
    if len({point.model_version for point in history.scores}) > 1:
        print_text("Where the model is new, it moved the score as well; clout change shows by how much.")
    if history.absent:
        print_text(f"No score as of {_instants(history.absent)}.")
    if history.earlier is not None:
        scope = "" if history.scope == "all" else f" --scope {shlex.quote(history.scope)}"
        command = home.command(f"history {shlex.quote(history.user)}{scope} --to {history.earlier}")
        print_commands("There are earlier ones:", {command: ""})
    if history.damaged:
        warn(f"skipped damaged snapshots: {_instants(history.damaged)}.")


def _history_row(point: "PastScore", earlier: "PastScore | None") -> list[str]:
    scored = point.status == SCORED
    change = f"{point.score - earlier.score:+.1f}" if scored and earlier and earlier.status == SCORED else ""
    new = earlier is not None and earlier.model_version != point.model_version
    return [
        point.as_of.removesuffix("T00:00:00Z"),
        f"{point.score:.1f}" if scored else "too little known",
        change,
        f"{point.interval.low:,} to {point.interval.high:,}" if scored else "",
        f"{point.percentile:.1f}" if scored else "",
        f"{point.model_version}{' (new)' if new else ''}{'' if point.released else ' (not released)'}",
    ]


def _instants(instants: Iterable[str]) -> str:
    days = [instant.removesuffix("T00:00:00Z") for instant in instants]
    more = f" and {len(days) - MOST_NAMED} more" if len(days) > MOST_NAMED else ""
    return f"{', '.join(days[:MOST_NAMED])}{more}"


def earned_table(report: "EngagementReport", row: Mapping[str, float]) -> None:
    """Print the posts that most people engaged with, and the totals compared with the feature row of the score.

    `people` counts different known users; `engagements`, of which those by verb are parts, and `unknown` count events.
    """
    when = f"in the {report.days} days before {report.as_of[:10]}"
    if report.pieces:
        verbs = [verb for verb in report.verbs if any(verb in piece.verbs for piece in report.pieces)]
        most = max(piece.people for piece in report.pieces)
        bar = max(BAR - 2 * max(len(verbs) - ROOM, 0), 0)
        rows = [_piece_row(piece, verbs, bar / max(most, 1)) for piece in report.pieces]
        part = f"{len(rows)} of {report.drawing:,} posts" if report.drawing > len(rows) else _some(len(rows), "post")
        title = f"What {report.user} earned {when}: {part}, most people first"
        columns = ["post", "", "people", "engagements", *verbs, "unknown", "made", "last"]
        print_table(title, columns, rows, text_columns=2)
    if report.engagements:
        print_text(_totals(report, when, row["credible_engagers_90d"]))
    else:
        print_text(f"Nobody engaged with {report.user} {when}.")
    _print_agreement(report, row)


def _piece_row(piece: "Piece", verbs: list[str], bar_per_person: float) -> list[str]:
    bar = "█" * max(1, round(bar_per_person * piece.people)) if piece.people else ""
    by_verb = [f"{piece.verbs[verb].engagements:,}" if verb in piece.verbs else "" for verb in verbs]
    counts = [f"{piece.people:,}", f"{piece.engagements:,}", *by_verb, f"{piece.unknown:,}" if piece.unknown else ""]
    created, last = (day and f"{datetime.fromisoformat(day):%d %b}" for day in (piece.made, piece.last))
    return [_shortened(piece.piece), bar, *counts, created or "earlier", last or ""]


def _shortened(name: str) -> str:
    """Cut the middle out of a long name: links differ at their ends."""
    half = LONGEST_NAME // 2
    return name if len(name) <= LONGEST_NAME else f"{name[: half - 1]}…{name[-half:]}"


def _totals(report: "EngagementReport", when: str, credible: float) -> str:
    verbs = ", ".join(f"{total.engagements:,} {verb}" for verb, total in report.verbs.items())
    unknown = f"; {_some(report.unknown, 'engagement')} by unknown people" if report.unknown else ""
    pieces = report.on_pieces
    return (
        f"Everything {when}: {_some(report.people, 'person')}, {_some(report.engagements, 'engagement')} "
        f"({verbs}){unknown}. "
        f"With posts: {_some(pieces.people, 'person')}, {_some(pieces.engagements, 'engagement')}, "
        f"{_some(report.drawing, 'post')}. People count alike here: {report.responders:,} of them responded and "
        f"count as {credible:,.2f} credible ones in the score."
    )


def _some(count: int, what: str) -> str:
    """Return a count with its noun; people here are always different ones."""
    return count_of(count, what, "different people" if what == "person" else None)


def _print_agreement(report: "EngagementReport", row: Mapping[str, float]) -> None:
    differing = report.differences(row)
    if not differing:
        print_text("The score was made from the same totals.")
        return
    totals = "; ".join(f"{name} {both['events']:,.0f}, not {both['scored']:,.0f}" for name, both in differing.items())
    warn(f"the score was made from other totals: {totals}. Did the events or identities change, or some arrive late?")
