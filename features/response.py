"""Response: how much engagement comes, and what for."""

from functools import partial

from features.feature import Feature
from features.windows import count, ratio, within

_feature = partial(Feature, family="response", unit="acts", over="pairs", direction="up")


def _engagements(days: int) -> Feature:
    return _feature(
        f"engagements_{days}d",
        f"engagements received in the last {days} days, unknown people's included",
        f"{{value}} engagements came in the last {days} days.",
        lambda pairs: pairs[f"acts_{days}d"].sum(),
    )


FEATURES = [
    *(_engagements(days) for days in (7, 28, 365)),
    _feature(
        "replies_90d",
        "replies received in the last 90 days",
        "{value} replies came in the last 90 days.",
        lambda pairs: pairs.replies_90d.sum(),
    ),
    _feature(
        "endorsements_90d",
        "likes, reposts and quotes received in the last 90 days",
        "{value} likes, reposts and quotes came in the last 90 days.",
        lambda pairs: pairs.endorsements_90d.sum(),
    ),
    _feature(
        "disapprovals_90d",
        "dislikes, flags, unfollows and blocks received in the last 90 days",
        "{value} dislikes, flags, unfollows or blocks came in the last 90 days.",
        lambda pairs: pairs.disapprovals_90d.sum(),
        direction="down",
    ),
    _feature(
        "pieces_drawing_90d",
        "pieces of content that drew any engagement in the last 90 days",
        "{value} pieces of content drew engagement in the last 90 days.",
        lambda pieces: count(within(pieces.last_age, 90)),
        unit="pieces",
        over="pieces",
    ),
    _feature(
        "engagers_per_piece_90d",
        "distinct people who engaged in the last 90 days, per piece created in them",
        "{value} different people engaged per piece created in the last 90 days.",
        lambda user: ratio(user.engagers_90d, user.created_90d),
        unit="people per piece",
        over="users",
    ),
]
