"""A history on the terminal: one row per instant, with the points between and where the model changed."""

from collections.abc import Iterable

from features.terminal import say, table, warn
from serving.reviewing.history import History, Point
from serving.snapshots.explanations import SCORED

COLUMNS = ["as of", "score", "change", "people", "percentile", "model"]
MOST_NAMED = 5


def history_table(told: History) -> None:
    """Print a history; a score that rests on too little shows no number, and no change is told from or to it."""
    before = [None, *told.points[:-1]]
    rows = [_row(point, earlier) for point, earlier in zip(told.points, before, strict=True)]
    of = "" if told.scope == "all" else f", scope {told.scope}"
    table(f"The scores of {told.user}{of}: {len(rows)} of {_snapshots(told)}", COLUMNS, rows)
    if len({point.model_version for point in told.points}) > 1:
        say("Where the model is a new one, it moved the score as well: clout change tells how far.")
    if told.absent:
        say(f"No score as of {_named(told.absent)}.")
    if told.earlier is not None:
        say(f"There are earlier ones: clout history --to {told.earlier}")
    if told.damaged:
        warn(f"left out as damaged: {_named(told.damaged)}.")


def _row(point: Point, earlier: Point | None) -> list[str]:
    told = point.status == SCORED
    change = f"{point.score - earlier.score:+.1f}" if told and earlier and earlier.status == SCORED else ""
    new = earlier is not None and earlier.model_version != point.model_version
    return [
        point.as_of.removesuffix("T00:00:00Z"),
        f"{point.score:.1f}" if told else "too little known",
        change,
        f"{point.low:,} to {point.high:,}" if told else "",
        f"{point.percentile:.1f}" if told else "",
        f"{point.model_version}{' (new)' if new else ''}",
    ]


def _snapshots(told: History) -> str:
    read = len(told.points) + len(told.absent) + len(told.damaged)
    return f"{read} {'snapshot' if read == 1 else 'snapshots'}"


def _named(instants: Iterable[str]) -> str:
    days = [each.removesuffix("T00:00:00Z") for each in instants]
    more = f" and {len(days) - MOST_NAMED} more" if len(days) > MOST_NAMED else ""
    return f"{', '.join(days[:MOST_NAMED])}{more}"
