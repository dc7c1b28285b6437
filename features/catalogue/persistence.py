"""Persistence: how long content keeps drawing engagement."""

from functools import partial

import ibis.expr.types as ir

from features.aggregates.windows import DAY, count, ratio, where
from features.catalogue.feature import Feature

_feature = partial(Feature, family="persistence", relation="pieces", unit="share", direction="none", default=None)


def _lifetime(pieces: ir.Table) -> ir.IntegerValue:
    """Return the microseconds from creation to the last engagement; 0 if that is dated before the creation."""
    return (pieces.created_age - pieces.last_age).clip(lower=0)


def _share_after(span: str) -> Feature:
    return _feature(
        f"after_a_{span}_share_90d",
        f"share of the last 90 days' engagements with content that came more than a {span} after it was made, or after "
        "a making that is not known",
        f"{{value}} of the engagements came more than a {span} after the content was made.",
        lambda pieces: ratio(pieces[f"after_a_{span}"].sum(), pieces.reactions.sum()),
    )


FEATURES = [
    _feature(
        "lifetime_days_90d",
        "average days from the making of a piece to the last engagement with it, over the pieces made in the last 90 "
        "days that drew any",
        "Content keeps drawing engagement for {value} days on average.",
        lambda pieces: where(pieces.created_age.notnull(), _lifetime(pieces).cast("float64")).mean() / DAY,
        unit="days",
    ),
    *(_share_after(span) for span in ("day", "week")),
    _feature(
        "passed_on_late_90d",
        "reposts and quotes of the last 90 days that came more than a week after the content was made, or "
        "after a making that is not known",
        "Content older than a week was passed on {value} times in the last 90 days.",
        lambda pieces: pieces.passed_on_late.sum(),
        unit="acts",
        default=0.0,
    ),
    _feature(
        "lasting_pieces_90d",
        "pieces of content that drew engagement in the last 90 days more than a week after they were made, or "
        "after a making that is not known",
        "{value} pieces of content drew engagement more than a week after they were made.",
        lambda pieces: count(pieces.after_a_week > 0),
        unit="pieces",
        default=0.0,
    ),
]
