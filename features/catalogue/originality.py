"""Originality: how much of a user's content is original, reposted or repeated."""

from functools import partial

import ibis.expr.types as ir

from features.aggregates.relations import is_any
from features.aggregates.windows import count, ratio
from features.catalogue.feature import Feature
from features.catalogue.wording import Row, count_of, happened, share_of, singular_or_plural, value_of, when
from features.events.event_table import NEGATIVE

_feature = partial(
    Feature,
    family="originality",
    relation="recent_events",
    unit="share",
    direction="none",
    actionable=True,
    default=None,
)
EXCESS_REPETITIONS, FREE_REPETITIONS = "repetitions_beyond_10_90d", 10
NO_POST = "No post in the last 90 days."
REPETITIONS = "pieces of the last 90 days that are known to repeat an earlier one of them"


def _described_repetitions(value: float | None, row: Row) -> str:
    if not value:
        return "No post of the last 90 days is known to repeat an earlier one of this user."
    total = value_of(row, "created_90d")
    posts = count_of(value, "post") if total is None else f"{value:,.0f} of {count_of(total, 'post')}"
    return f"{posts} {when(90, row)} {singular_or_plural(value, 'repeats', 'repeat')} an earlier one of this user."


def _described_excess(free: int, value: float | None, row: Row) -> str:
    if not value:
        return f"At most {free} posts of the last 90 days are known to repeat an earlier one of this user."
    return f"{_described_repetitions(value + free, row).removesuffix('.')}; the first {free} repeats cost nothing."


def most_excess_repetitions(created: float) -> float:
    """Return the most excess repetitions among a number of pieces, of which the first repeats nothing."""
    return max(created - 1.0 - FREE_REPETITIONS, 0.0)


def _repetitions(contents: ir.Table) -> ir.IntegerValue:
    return contents.copies.sum() - contents.count()


def _excess(name: str, free: int) -> Feature:
    return _feature(
        name,
        f"{REPETITIONS}, beyond the first {free}",
        partial(_described_excess, free),
        lambda contents: (_repetitions(contents) - free).clip(lower=0),
        relation="contents",
        unit="pieces",
        direction="down",
        default=0.0,
        title=f"Repeated posts beyond {free}",
    )


FEATURES = [
    _feature(
        "original_share_90d",
        "share of pieces among the user's pieces and reposts of the last 90 days",
        share_of("{share} of what the user posted or passed on in the last 90 days was their own.", NO_POST),
        lambda events: ratio(count(events.creation), count(events.creation | is_any(events.verb, "repost"))),
    ),
    _feature(
        "reply_share_90d",
        "share of replies and quotes among the pieces of the last 90 days",
        share_of("{share} of the posts of the last 90 days were replies or quotes.", NO_POST),
        lambda events: ratio(count(is_any(events.verb, "reply", "quote")), count(events.creation)),
    ),
    _feature(
        "repeated_share_90d",
        "share of the pieces of the last 90 days that repeat an earlier one of them, over those of known content",
        share_of("{share} of the posts of the last 90 days repeat an earlier one.", "No post whose content is known."),
        lambda contents: ratio(contents.copies.sum() - contents.count(), contents.copies.sum()),
        relation="contents",
    ),
    _feature(
        "repetitions_90d",
        REPETITIONS,
        _described_repetitions,
        _repetitions,
        relation="contents",
        unit="pieces",
        direction="down",
        default=0.0,
        title="Repeated posts",
    ),
    _excess("excess_repetitions_90d", 5),
    _excess(EXCESS_REPETITIONS, FREE_REPETITIONS),
    _feature(
        "most_repeated_90d",
        "pieces of the last 90 days with the user's most repeated content",
        happened(
            "The most repeated content was posted {times} in the last 90 days.", "No post whose content is known."
        ),
        lambda contents: contents.copies.max(),
        relation="contents",
        unit="pieces",
    ),
    _feature(
        "link_share_90d",
        "share of the pieces of the last 90 days with a link, over those whose links are known",
        share_of("{share} of the posts of the last 90 days have a link.", "No post whose links are known."),
        lambda events: ratio(
            count(events.creation & (events.links > 0)), count(events.creation & events.links.notnull())
        ),
    ),
    _feature(
        "reposts_made_90d",
        "reposts by the user in the last 90 days",
        happened("The user reposted {times} in the last 90 days.", "No repost in the last 90 days."),
        lambda events: count(is_any(events.verb, "repost")),
        unit="acts",
        default=0.0,
    ),
    _feature(
        "disapprovals_made_90d",
        "dislikes, flags, unfollows and blocks by the user in the last 90 days",
        happened(
            "The user disliked, flagged, unfollowed or blocked {times} in the last 90 days.",
            "No dislike, flag, unfollow or block in the last 90 days.",
        ),
        lambda events: count(is_any(events.verb, *NEGATIVE)),
        unit="acts",
        default=0.0,
    ),
]
