"""Response: how much engagement a user receives, and for what."""

from functools import partial

from features.aggregates.relations import is_any
from features.aggregates.windows import count, decay, ratio, sum_fixed_point, within
from features.catalogue.feature import Feature
from features.events.event_table import ENDORSEMENTS, NEGATIVE

_feature = partial(Feature, family="response", unit="acts", relation="engagements", direction="none")
_pieces = partial(_feature, relation="pieces", unit="pieces")
_users = partial(_feature, relation="users", default=None)


def _engagements(days: int) -> Feature:
    return _feature(
        f"engagements_{days}d",
        f"engagements received in the last {days} days, unknown people's included",
        f"{{value}} engagements came in the last {days} days.",
        lambda engagements: count(within(engagements.age, days)),
    )


def _of_kind(name: str, plural: str, verbs: tuple[str, ...], days: int) -> Feature:
    return _feature(
        f"{name}_{days}d",
        f"{plural} received in the last {days} days",
        f"{{value}} {plural} came in the last {days} days.",
        lambda engagements: count(is_any(engagements.verb, *verbs) & within(engagements.age, days)),
    )


FEATURES = [
    *(_engagements(days) for days in (7, 28, 90)),
    _feature(
        "engagements_365d",
        "engagements received in the last 365 days, unknown people's included",
        "{value} engagements came in the last 365 days.",
        lambda pairs: pairs.acts.sum(),
        relation="pairs",
    ),
    _feature(
        "engagements_decayed_14d",
        "engagements received in the last 90 days, each weighing less the older it is (half after 14 days)",
        "Recent engagements weigh as {value} made right now.",
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
        "share of the last 90 days' engagements that were dislikes, flags, unfollows or blocks",
        "{value} of the engagements of the last 90 days were dislikes, flags, unfollows or blocks.",
        lambda user: ratio(user.disapprovals_90d, user.engagements_90d),
        unit="share",
    ),
    _feature(
        "unknown_share_90d",
        "share of the last 90 days' engagements made by unknown people",
        "{value} of the engagements of the last 90 days came from people who are not known.",
        lambda engagements: ratio(count(engagements.other.isnull()), engagements.count()),
        unit="share",
        default=None,
    ),
    *(
        _pieces(
            f"pieces_drawing_{days}d",
            f"pieces of content that drew any engagement in the last {days} days",
            f"{{value}} pieces of content drew engagement in the last {days} days.",
            lambda pieces, days=days: count(within(pieces.last_age, days)),
        )
        for days in (28, 90)
    ),
    _pieces(
        "best_piece_90d",
        "engagements of the last 90 days on the piece of content that drew most of them",
        "The piece that drew most had {value} engagements in the last 90 days.",
        lambda pieces: pieces.reactions.max(),
        unit="acts",
    ),
    _users(
        "drawing_share_90d",
        "share of the pieces made in the last 90 days that drew any engagement",
        "{value} of the pieces made in the last 90 days drew engagement.",
        lambda user: ratio(user.new_pieces_drawing, user.new_pieces.nullif(0)),
        unit="share",
    ),
    _users(
        "engagements_per_piece_14d",
        "engagements received per piece created, both of the last 90 days, weighing half after 14 days, and counted "
        "from one",
        "{value} engagements came per piece created lately, both counted from one.",
        lambda user: ratio(user.engagements_decayed_14d + 1, user.created_decayed_14d + 1),
        unit="acts per piece",
        default=0.0,
    ),
    _users(
        "engagers_per_piece_90d",
        "distinct people who engaged in the last 90 days, per piece created in them",
        "{value} different people engaged per piece created in the last 90 days.",
        lambda user: ratio(user.engagers_90d, user.created_90d),
        unit="people per piece",
    ),
]
