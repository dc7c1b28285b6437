"""Judging: each row is an event or gets the reason why it is none."""

from datetime import UTC, datetime

import ibis
import ibis.expr.types as ir

from features.events import NETWORK, SCHEMA, VERBS

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2201, 1, 1, tzinfo=UTC)


def judged(raw: ir.Table) -> ir.Table:
    """Give each row the reason why it is no event, null where it is one.

    Parameters
    ----------
    raw : columns of SCHEMA, optional ones may be absent; `reason` too, where the source itself found one, which stands

    Returns
    -------
    the columns of SCHEMA and `reason`, then whatever else `raw` had. Empty ids are null; the object of a post that
    names its new piece as the result is that piece; topics are distinct and sorted.

    """
    tidy = _tidy(raw)
    known = tidy.reason if "reason" in tidy.columns else ibis.null("string")
    reason = ibis.coalesce(known, _time_reason(tidy), _verb_reason(tidy), _people_reason(tidy))
    rest = [name for name in tidy.columns if name not in (*SCHEMA, "reason")]
    return tidy.select(*SCHEMA, *rest, reason=reason)


def _tidy(raw: ir.Table) -> ir.Table:
    absent = {name: ibis.null(kind) for name, kind in SCHEMA.items() if name not in raw.columns}
    full = raw.mutate(**absent)
    fitted = full.mutate(**{name: full[name].cast(kind) for name, kind in SCHEMA.items()})
    texts = [name for name, kind in SCHEMA.items() if kind.is_string()]
    clean = fitted.mutate(**{name: fitted[name].nullif("") for name in texts})
    moved = (clean.verb == "post") & clean.object.isnull()
    topics = clean.topics.filter(lambda topic: topic != "").unique().sort()
    return clean.mutate(
        object=moved.ifelse(clean.result, clean.object),
        result=moved.ifelse(ibis.null("string"), clean.result),
        network=clean.network.fill_null(NETWORK),
        topics=(topics.length() > 0).ifelse(topics, ibis.null("array<string>")),
    )


def _time_reason(events: ir.Table) -> ir.StringValue:
    outside = (events.time < ibis.literal(EARLIEST)) | (events.time >= ibis.literal(LATEST))
    return ibis.cases(
        (events.time.isnull(), "time missing or unreadable"), (outside, "time outside the years 1970 to 2200")
    )


def _verb_reason(events: ir.Table) -> ir.StringValue:
    unknown = ibis.literal("unknown verb '") + events.verb.substr(0, 40) + "'"
    return ibis.cases((events.verb.isnull(), "verb missing"), (events.verb.notin(VERBS), unknown))


def _people_reason(events: ir.Table) -> ir.StringValue:
    return ibis.cases((events.actor.isnull() & events.target.isnull(), "neither actor nor target known"))
