"""Persistence: how long content keeps drawing engagement."""

from functools import partial

import ibis.expr.types as ir

from features.aggregates.windows import DAY, count, ratio, where
from features.catalogue.feature import Feature
from features.catalogue.wording import counted, happened, number, share_of

_feature = partial(Feature, family="persistence", relation="pieces", unit="share", direction="none", default=None)

NOBODY = "Nobody engaged with a post in the last 90 days."
UNDATED = "pieces of unknown date count"


def _lifetime(pieces: ir.Table) -> ir.IntegerValue:
    """Return the microseconds from creation to the last engagement; 0 if that is dated before the creation."""
    return (pieces.created_age - pieces.last_age).clip(lower=0)


def _share_after(span: str) -> Feature:
    return _feature(
        f"after_a_{span}_share_90d",
        f"share of the last 90 days' engagements with pieces that came more than a {span} after the piece; {UNDATED}",
        share_of(
            f"{{share}} of the engagements came more than a {span} after the post (posts of unknown date count).",
            NOBODY,
        ),
        lambda pieces: ratio(pieces[f"after_a_{span}"].sum(), pieces.reactions.sum()),
    )


FEATURES = [
    _feature(
        "lifetime_days_90d",
        "average days from a piece to the last engagement with it, over the pieces of the last 90 days that have any",
        number("On average the last engagement comes {value} days after a post.", NOBODY),
        lambda pieces: where(pieces.created_age.notnull(), _lifetime(pieces).cast("float64")).mean() / DAY,
        unit="days",
    ),
    *(_share_after(span) for span in ("day", "week")),
    _feature(
        "passed_on_late_90d",
        f"reposts and quotes of the last 90 days, more than a week after the piece; {UNDATED}",
        happened(
            "Posts older than a week, or of unknown date, were passed on {times} in the last 90 days.",
            "No post older than a week was passed on in the last 90 days.",
        ),
        lambda pieces: pieces.passed_on_late.sum(),
        unit="acts",
        default=0.0,
    ),
    _feature(
        "lasting_pieces_90d",
        f"pieces with an engagement in the last 90 days, more than a week after the piece; {UNDATED}",
        counted(
            "Others engaged with {count} more than a week later (posts of unknown date count).",
            "post",
            none="Nobody engaged with a post more than a week later.",
        ),
        lambda pieces: count(pieces.after_a_week > 0),
        unit="pieces",
        default=0.0,
        title="Posts that draw responses after a week",
    ),
]
