"""The door: every event is judged once, and what fails is kept with its reason.

One act maps to one row. The verbs and columns are those of W3C ActivityStreams 2.0:

| verb | ActivityStreams 2.0 |
|---|---|
| post | Create |
| reply | Create, the object has inReplyTo |
| quote | Create, the object refers to another one |
| repost | Announce |
| like | Like |
| mention | Create, the object has a tag of type Mention |
| follow | Follow |
| unfollow | Undo of a Follow |
| dislike | Dislike |
| flag | Flag |
| block | Block |
| view | View |

| column | ActivityStreams 2.0 |
|---|---|
| time | published |
| actor | actor |
| target | attributedTo of the object; the object itself of Follow, Undo and Block |
| object | object; inReplyTo for a reply or quote; the piece that mentions for a mention |
| result | the object that a reply or quote creates |
| topics | tag of type Hashtag |

Judging: each row is an event or gets the reason why it is none.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from glob import escape
from pathlib import Path

import ibis
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from features.atomic_files import check_events_path, is_single_file, publish, scratch_dir
from features.errors import EventsError
from features.events.event_table import NETWORK, SCHEMA, VERBS

__all__ = ["ImportReport", "ingest", "validate_events"]

NAMED_REASONS = 100
OTHER = "other reasons"


@dataclass(frozen=True)
class ImportReport:
    """What became of a source: `read == accepted + rejected == accepted + sum(reasons.values())`."""

    read: int
    accepted: int
    rejected: int
    reasons: dict[str, int]
    first: datetime
    last: datetime
    out: Path
    rejects: Path | None
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict:
        """Return the landing as JSON values."""
        facts = {name: getattr(self, name) for name in ("read", "accepted", "rejected", "reasons")}
        instants = {"first": self.first.isoformat(), "last": self.last.isoformat()}
        places = {"out": str(self.out), "rejects": str(self.rejects) if self.rejects else None}
        return {**facts, **instants, **places, "notes": list(self.notes)}


def ingest(raw: ir.Table, out: Path) -> ImportReport:
    """Judge the rows, write the events to `out` and the rejected rows beside it; nothing is ever half written.

    Parameters
    ----------
    raw : as in `validate_events`, on DuckDB, with `record`, the original row as text, and `row`, its number there
    out : a `.parquet` file, or a folder which gets `part-00000.parquet`; sorted by time, then by all other columns

    Returns
    -------
    the counts; the rejected rows are in `<out without .parquet>.rejects.csv`, which exists only if there are any

    Raises
    ------
    EventsError : there are no rows, or none is an event; an older `out` stays as it was

    """
    check_events_path(out)
    with scratch_dir(out) as scratch:
        rows = _judge(raw, scratch / "judged.parquet")
        landing = _counted(rows, out)
        made = _write_events(rows, scratch, out)
        _write_rejects(rows, scratch / "rejects.csv")
        publish(made, out, scratch)
        _place_rejects(scratch / "rejects.csv", landing)
    return landing


def rejects_path(out: Path) -> Path:
    """Return where the rows rejected on the way to `out` are kept."""
    return out.with_name(out.name.removesuffix(".parquet") + ".rejects.csv")


def _judge(raw: ir.Table, file: Path) -> ir.Table:
    """Run the source once, into `file`; the original row is carried along only where it is rejected."""
    rows = validate_events(raw)
    record = rows.reason.notnull().ifelse(rows.record.cast("string"), ibis.null("string"))
    backend = _backend(raw)
    backend.to_parquet(rows.select(*SCHEMA, "reason", row=rows.row.cast("int64"), record=record), file)
    return backend.read_parquet(escape(str(file)))


def _backend(table: ir.Table) -> Backend:
    backend = table.get_backend()
    if not isinstance(backend, Backend):
        raise EventsError(f"events land through DuckDB; found {backend.name}.")
    return backend


def _counted(rows: ir.Table, out: Path) -> ImportReport:
    counts = rows.group_by("reason").aggregate(rows=rows.count(), first=rows.time.min(), last=rows.time.max())
    found = counts.order_by(counts.rows.desc(), "reason").to_pyarrow().to_pylist()
    accepted = next((each for each in found if each["reason"] is None), None)
    reasons = {each["reason"]: each["rows"] for each in found if each["reason"] is not None}
    rejected = sum(reasons.values())
    if accepted is None:
        raise _nothing(rows, reasons)
    return ImportReport(
        read=accepted["rows"] + rejected,
        accepted=accepted["rows"],
        rejected=rejected,
        reasons=_named(reasons),
        first=accepted["first"].astimezone(UTC),
        last=accepted["last"].astimezone(UTC),
        out=out,
        rejects=rejects_path(out) if rejected else None,
    )


def _named(reasons: dict[str, int]) -> dict[str, int]:
    """Name the most frequent reasons and put the others together."""
    if len(reasons) <= NAMED_REASONS:
        return reasons
    named = dict(list(reasons.items())[:NAMED_REASONS])
    return named | {OTHER: sum(reasons.values()) - sum(named.values())}


def _nothing(rows: ir.Table, reasons: dict[str, int]) -> EventsError:
    if not reasons:
        return EventsError("the source holds no rows: there is nothing to import.")
    common = "; ".join(f"{count} x {reason}" for reason, count in list(reasons.items())[:3])
    example = rows.order_by("row").limit(1).record.to_pyarrow()[0].as_py()
    return EventsError(
        f"none of the {sum(reasons.values())} rows is an event: {common}. The first one is {example}. Name columns "
        f"with --map FIELD=COLUMN and verbs with --verb FOUND=MEANT, where MEANT is one of {', '.join(VERBS)}."
    )


def _write_events(rows: ir.Table, scratch: Path, out: Path) -> Path:
    """Write the events in an order that the same rows always get; return the file, or the folder of its one part."""
    made = scratch / "made" if not is_single_file(out) else scratch
    made.mkdir(exist_ok=True)
    file = made / "part-00000.parquet"
    events = rows.filter(rows.reason.isnull()).select(*SCHEMA).order_by(*SCHEMA)
    _backend(rows).to_parquet(events, file, compression="zstd")
    return file if is_single_file(out) else made


def _write_rejects(rows: ir.Table, file: Path) -> None:
    rejected = rows.filter(rows.reason.notnull()).select("row", "reason", "record")
    _backend(rows).to_csv(rejected.order_by("row", "record", "reason"), file, header=True)


def _place_rejects(file: Path, landing: ImportReport) -> None:
    if landing.rejects is None:
        rejects_path(landing.out).unlink(missing_ok=True)
    else:
        publish(file, landing.rejects, file.parent)


EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2201, 1, 1, tzinfo=UTC)


def validate_events(raw: ir.Table) -> ir.Table:
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
