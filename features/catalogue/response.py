"""Response: how much engagement a user receives, and for what."""

from functools import partial

from features.aggregates.relations import is_any
from features.aggregates.windows import count, decay, ratio, sum_fixed_point, within
from features.catalogue.feature import Feature
from features.catalogue.wording import NOT_KNOWN, Sentence, counted, happened, number, share_of
from features.events.event_table import ENDORSEMENTS, NEGATIVE

_feature = partial(Feature, family="response", unit="acts", relation="engagements", direction="none")
_pieces = partial(_feature, relation="pieces", unit="pieces")
_users = partial(_feature, relation="users", default=None)
NOBODY = "Nobody engaged in the last 90 days."


def _times(days: int) -> Sentence:
    return happened(f"Others engaged {{times}} in the last {days} days.", f"Nobody engaged in the last {days} days.")


def _meaning(days: int) -> str:
    return f"engagements with the user in the last {days} days, anonymous ones included"


def _engagements(days: int) -> Feature:
    return _feature(
        f"engagements_{days}d",
        _meaning(days),
        _times(days),
        lambda engagements: count(within(engagements.age, days)),
    )


def _of_kind(name: str, plural: str, verbs: tuple[str, ...], days: int) -> Feature:
    return _feature(
        f"{name}_{days}d",
        f"{plural} received in the last {days} days",
        lambda value, _: f"{plural.capitalize()} in the last {days} days: {value or 0:,.0f}.",
        lambda engagements: count(is_any(engagements.verb, *verbs) & within(engagements.age, days)),
    )


FEATURES = [
    *(_engagements(days) for days in (7, 28, 90)),
    _feature(
        "engagements_365d",
        _meaning(365),
        _times(365),
        lambda pairs: pairs.acts.sum(),
        relation="pairs",
    ),
    _feature(
        "engagements_decayed_14d",
        "engagements of the last 90 days, anonymous ones included, with weights that halve every 14 days",
        counted(
            "What others did in 90 days, the longer ago the less, counts as {count} today (half after 14 days).",
            "engagement",
        ),
        lambda engagements: sum_fixed_point(decay(engagements.age, 14)),
    ),
    _of_kind("replies", "replies", ("reply",), 28),
    _of_kind("replies", "replies", ("reply",), 90),
    _of_kind("likes", "likes", ("like",), 90),
    _of_kind("reposts", "reposts and quotes", ("repost", "quote"), 90),
    _of_kind("mentions", "mentions", ("mention",), 90),
    _of_kind("endorsements", "likes, reposts and quotes", ENDORSEMENTS, 28),
    _of_kind("endorsements", "likes, reposts and quotes", ENDORSEMENTS, 90),
    _of_kind("disapprovals", "dislikes, flags, unfollows and blocks", NEGATIVE, 90),
    _users(
        "disapproval_share_90d",
        "share of the engagements of the last 90 days that were dislikes, flags, unfollows or blocks",
        share_of("{share} of the engagements of the last 90 days were dislikes, flags, unfollows or blocks.", NOBODY),
        lambda user: ratio(user.disapprovals_90d, user.engagements_90d),
        unit="share",
    ),
    _feature(
        "unknown_share_90d",
        "share of the engagements of the last 90 days that are anonymous",
        share_of("{share} of the engagements of the last 90 days came from people who are not named.", NOBODY),
        lambda engagements: ratio(count(engagements.other.isnull()), engagements.count()),
        unit="share",
        default=None,
    ),
    *(
        _pieces(
            f"pieces_drawing_{days}d",
            f"pieces with an engagement in the last {days} days",
            counted(
                f"Others engaged with {{count}} in the last {days} days.",
                "post",
                none=f"Nobody engaged with a post in the last {days} days.",
            ),
            lambda pieces, days=days: count(within(pieces.last_age, days)),
            title=f"Posts of the last {days} days that draw anybody",
        )
        for days in (28, 90)
    ),
    _pieces(
        "best_piece_90d",
        "engagements of the last 90 days with the piece that has most",
        counted(
            "The most successful post had {count} in the last 90 days.",
            "engagement",
            none="Nobody engaged with a post in the last 90 days.",
        ),
        lambda pieces: pieces.reactions.max(),
        unit="acts",
    ),
    _users(
        "drawing_share_90d",
        "share of the pieces of the last 90 days with an engagement",
        share_of("Others engaged with {share} of the posts of the last 90 days.", "No post in the last 90 days."),
        lambda user: ratio(user.new_pieces_drawing, user.new_pieces.nullif(0)),
        unit="share",
    ),
    _users(
        "engagements_per_piece_14d",
        "(engagements received + 1) / (pieces created + 1), both of the last 90 days, with weights that halve every 14 "
        "days",
        number("Engagements per post lately: {value}, with one added to both.", NOT_KNOWN),
        lambda user: ratio(user.engagements_decayed_14d + 1, user.created_decayed_14d + 1),
        unit="acts per piece",
        default=0.0,
    ),
    _users(
        "engagers_per_piece_90d",
        "distinct users who engaged in the last 90 days, per piece created in these days",
        number("People who engaged per post of the last 90 days: {value}.", "No post in the last 90 days."),
        lambda user: ratio(user.engagers_90d, user.created_90d),
        unit="people per piece",
    ),
]
