"""Originality: how much of a user's content is original, reposted or repeated."""

from functools import partial

from features.aggregates.relations import is_any
from features.aggregates.windows import count, ratio
from features.catalogue.feature import Feature
from features.catalogue.wording import Row, count_of, singular_or_plural, value_of
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


def _described_repetitions(value: float | None, row: Row) -> str:
    if not value:
        return "No post of the last 90 days is known to repeat an earlier one."
    total = value_of(row, "created_90d")
    posts = count_of(value, "post") if total is None else f"{value:,.0f} of {count_of(total, 'post')}"
    return f"{posts} of the last 90 days {singular_or_plural(value, 'repeats', 'repeat')} an earlier one."


FEATURES = [
    _feature(
        "original_share_90d",
        "share of own pieces among all that the person made or reposted in the last 90 days",
        "{value} of what was made or passed on in the last 90 days was the person's own.",
        lambda events: ratio(count(events.creation), count(events.creation | is_any(events.verb, "repost"))),
    ),
    _feature(
        "reply_share_90d",
        "share of replies and quotes among the pieces made in the last 90 days",
        "{value} of the pieces made in the last 90 days were replies or quotes.",
        lambda events: ratio(count(is_any(events.verb, "reply", "quote")), count(events.creation)),
    ),
    _feature(
        "repeated_share_90d",
        "share of the pieces made in the last 90 days that repeat an earlier one of them, over those whose "
        "content is known",
        "{value} of the pieces made in the last 90 days repeat an earlier one.",
        lambda contents: ratio(contents.copies.sum() - contents.count(), contents.copies.sum()),
        relation="contents",
    ),
    _feature(
        "repetitions_90d",
        "how many of the pieces made in the last 90 days are known to repeat an earlier one of them",
        _described_repetitions,
        lambda contents: contents.copies.sum() - contents.count(),
        relation="contents",
        unit="pieces",
        direction="down",
        default=0.0,
    ),
    _feature(
        "most_repeated_90d",
        "how often the person's most repeated content was made in the last 90 days",
        "The most repeated content was made {value} times in the last 90 days.",
        lambda contents: contents.copies.max(),
        relation="contents",
        unit="pieces",
    ),
    _feature(
        "link_share_90d",
        "share of the pieces made in the last 90 days that hold a link, over those whose links are known",
        "{value} of the pieces made in the last 90 days hold a link.",
        lambda events: ratio(
            count(events.creation & (events.links > 0)), count(events.creation & events.links.notnull())
        ),
    ),
    _feature(
        "reposts_made_90d",
        "reposts made in the last 90 days",
        "The person passed on {value} pieces in the last 90 days.",
        lambda events: count(is_any(events.verb, "repost")),
        unit="acts",
        default=0.0,
    ),
    _feature(
        "disapprovals_made_90d",
        "dislikes, flags, unfollows and blocks made in the last 90 days",
        "The person gave {value} dislikes, flags, unfollows and blocks in the last 90 days.",
        lambda events: count(is_any(events.verb, *NEGATIVE)),
        unit="acts",
        default=0.0,
    ),
]
