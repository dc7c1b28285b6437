"""Terminal tables of a selected group."""

import csv
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from features.catalogue.wording import count_of
from features.console import print_message, print_points, print_table, print_text
from features.ids import spreadsheet_id
from features.utc import to_iso_utc
from training.explanation.reasons import INSUFFICIENT

if TYPE_CHECKING:
    from serving.selections.find import FoundPage
    from serving.selections.select import Selection
    from serving.snapshots.query import UserFilter
    from serving.snapshots.snapshot import Snapshot

MOST_OVERLAPS, MOST_IN_MATRIX = 10, 8
FOUND = (
    "user",
    "score",
    "percentile",
    "peer_percentile",
    "expected_audience",
    "low",
    "high",
    "evidence",
    "growth",
    "people",
    "credibility",
)


def print_selection(selection: "Selection") -> None:
    """Print a group, what it reaches beside simpler groups, and how close it is to the best."""
    from serving.selections.select import COUNTS

    s, size = selection, len(selection.members)
    print_text(
        f"{count_of(size, 'user')}{_of_scope(s.scope)}, expected to reach {_people(s.reach)} different people in the "
        f"{s.horizon_days} days from {s.as_of[:10]}, by model version {s.model_version} (counted: {COUNTS[s.count]})."
    )
    if s.reach_range is not None and s.reach > 0:
        ends = s.reach_range.least, s.reach_range.most
        people, of_predicted = map(_people, ends), (f"{end / s.reach:.2f}" for end in ends)
        print_text(
            f"In 8 of 10 cases such a group reaches {' to '.join(people)} people, "
            f"{' to '.join(of_predicted)} times as many, by {count_of(s.reach_range.past_horizons, 'past horizon')}."
        )
    share = math.floor(1_000 * s.guarantee.at_least_of_best) / 10
    if share == 100:
        print_text("No other group under the same constraints is expected to reach more.")
    else:
        print_text(f"That is at least {share:.1f}% of what the best possible group is expected to reach.")
    _print_members(selection)
    _print_alternatives(selection)
    _print_overlaps(selection)
    print_points("Left out", [f"{other.user}: {other.because}" for other in s.left_out])
    _print_notes(selection)


def print_selection_csv(selection: "Selection") -> None:
    """Print the members of a group as CSV to stdout, and its notes to stderr."""
    from serving.selections.select import MEMBER_COLUMNS

    _write_csv(MEMBER_COLUMNS, selection.rows)
    _print_notes(selection)


def _print_notes(selection: "Selection") -> None:
    for note in selection.notes:
        print_message(f"note: {note}")


def page_document(
    page: "FoundPage", snapshot: "Snapshot", query: "UserFilter", before: "Snapshot | None"
) -> dict[str, Any]:
    """Return a page of users as JSON values."""
    return {
        "as_of": to_iso_utc(snapshot.as_of),
        "model_version": snapshot.model_version,
        "scope": query.bounds.scope,
        "since": None if before is None else to_iso_utc(before.as_of),
        "matching": page.matching,
        "users": [{name: user.row[name] for name in FOUND} for user in page.users],
        "next_cursor": page.next_cursor,
    }


def print_page(page: dict[str, Any]) -> None:
    """Print a page of users, those that come first first; too little evidence has no figures."""
    columns = ["user", "evidence", "score", "among all", "among peers", "people expected"]
    columns += ["people in a year", "credible"]
    rows = [
        [
            user["user"],
            *_figures(user),
            _optional(user["people"], "{:,.0f}"),
            _optional(user["credibility"], "{:.0f}%"),
            *([] if page["since"] is None else [_optional(user["growth"], "{:+.1f}")]),
        ]
        for user in page["users"]
    ]
    since = "" if page["since"] is None else f", growth since {page['since'][:10]}"
    title = f"{count_of(page['matching'], 'user')}{_of_scope(page['scope'])} as of {page['as_of'][:10]}{since}"
    print_table(title, [*columns, *([] if page["since"] is None else ["growth"])], rows, text_columns=2)
    _print_cursor(page)


def _figures(user: dict[str, Any]) -> list[str]:
    if user["evidence"] == INSUFFICIENT:
        return ["too little known", "", "", "", ""]
    percentiles = (f"{user[name]:.1f}" for name in ("percentile", "peer_percentile"))
    return [user["evidence"], f"{user['score']:.1f}", *percentiles, _people(user["expected_audience"])]


def print_csv(page: dict[str, Any]) -> None:
    """Print a page of users as CSV to stdout, and the cursor of the next one to stderr."""
    _write_csv(FOUND, page["users"])
    _print_cursor(page)


def _write_csv(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | {"user": spreadsheet_id(row["user"])} for row in rows)


def _print_cursor(page: dict[str, Any]) -> None:
    if page["next_cursor"]:
        print_message(f"The next page: --cursor {page['next_cursor']}")


def _optional(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _print_members(selection: "Selection") -> None:
    more = [name for name in ("cost", "network") if any(getattr(m, name) is not None for m in selection.members)]
    columns = ["", "user", "adds", "reach so far", "reaches alone", "score", *more]
    rows = [
        [
            str(k + 1),
            member.user,
            _people(member.adds),
            _people(member.reach),
            _people(selection.overlap[k][k]),
            f"{member.score:.1f}",
            *(_cell(getattr(member, name)) for name in more),
        ]
        for k, member in enumerate(selection.members)
    ]
    print_table("Group, in the order of selection", columns, rows, text_columns=2)


def _print_alternatives(selection: "Selection") -> None:
    from serving.selections.select import ALTERNATIVES

    rows = [["this group", _people(selection.reach), ""]]
    rows += [
        [
            ALTERNATIVES[other.by],
            _people(other.reach),
            _optional(selection.difference(other), "{:+.0%}"),
        ]
        for other in selection.alternatives
    ]
    if selection.alternatives:
        print_table("The same number of users by something simpler", ["by", "reach", ""], rows)


def _print_overlaps(selection: "Selection") -> None:
    """Print how many people each two members share: as a matrix, or the largest numbers of a large group."""
    users, overlap = [member.user for member in selection.members], selection.overlap
    if 1 < len(users) <= MOST_IN_MATRIX:
        columns = ["", "user", *(str(k + 1) for k in range(len(users)))]
        rows = [
            [str(a + 1), user, *("" if a == b else _people(overlap[a][b]) for b in range(len(users)))]
            for a, user in enumerate(users)
        ]
        print_table("People whom each two members share", columns, rows, text_columns=2)
        return
    rows = [[one, other, _people(both)] for one, other, both in selection.largest_overlaps(MOST_OVERLAPS)]
    if rows:
        print_table("Members who share the most people", ["user", "and", "people of both"], rows, text_columns=2)


def _of_scope(scope: str) -> str:
    kind, _, name = scope.partition(":")
    return {"topic": f" about {name}", "network": f" in the network {name}"}.get(kind, "")


def _people(number: float) -> str:
    return f"{number:,.1f}" if number < 100 else f"{number:,.0f}"


def _cell(value: object) -> str:
    return "" if value is None else f"{value:,g}" if isinstance(value, float) else str(value)
