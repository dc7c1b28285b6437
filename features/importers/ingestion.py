"""Validate rows against the event table, write the events, and write rejected rows with their reasons.

One event is one row. The verbs and columns are those of W3C ActivityStreams 2.0:

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
| object | object; inReplyTo for a reply or quote; the mentioning piece for a mention |
| result | the object that a reply or quote creates |
| topics | tag of type Hashtag |
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from glob import escape
from pathlib import Path

import ibis
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from features.atomic_files import check_events_path, is_single_file, publish, scratch_dir
from features.errors import EventsError
from features.events.event_table import EPOCH, NETWORK, SCHEMA, VERBS, connect, time_range
from features.importers.readers.files import byte_progress, list_files
from features.importers.readers.json_lines import Pointers, read_members
from features.importers.readers.tabular import MALFORMED_LINE, looks_like_csv
from features.progress import Progress
from features.utc import latest_event_time

MAX_REASONS = 100
NO_TIME = "time missing or unreadable"
UNKNOWN_VERB = "unknown verb '"  # how the reasons of unknown verbs begin
MAX_VERB_CHARS = 40
ALL_1970 = (
    "all times fall within 1970, which counts in another unit do: 'clout import table' takes --time-unit, such as "
    "excel-days for days since 1899-12-30."
)
OTHER = "other reasons"


Advice = Callable[[Mapping[str, int], str], str]
LATEST = datetime(2200, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


@dataclass(frozen=True)
class ImportReport:
    """The counts of an import: `read == accepted + rejected == accepted + sum(reasons.values())`."""

    read: int
    accepted: int
    rejected: int
    reasons: dict[str, int]
    first: datetime
    last: datetime
    out: Path
    rejects: Path | None
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Return the report as JSON values."""
        instants = {"first": self.first.isoformat(), "last": self.last.isoformat()}
        paths = {"out": str(self.out), "rejects": str(self.rejects) if self.rejects else None}
        return asdict(self) | instants | paths


def ingest(
    raw: ir.Table,
    out: Path,
    notes: tuple[str, ...] = (),
    advice: Advice = lambda _reasons, _record: "",
    source: str = "the source",
) -> ImportReport:
    """Validate rows, write the events to `out` and the rejected rows beside it, and publish both atomically.

    Parameters
    ----------
    raw : as in `validate_events`, on DuckDB, with `record`, the original row as text, and `row`, its number
    out : a `.parquet` file, or a folder that gets `part-00000.parquet`; sorted by time, then by all other columns
    notes : remarks of the importer for the report
    advice : returns what to do if no row is an event, for the error; gets the number of rows for each reason, and the
        first row as text
    source : what the rows are of, for the error if there are none

    Returns
    -------
    the counts; `<out without .parquet>.rejects.csv` holds the rejected rows, and exists only if there are any

    Raises
    ------
    EventsError : the source is empty, or no row is an event; an older `out` does not change

    """
    check_events_path(out)
    with scratch_dir(out) as scratch:
        rows = _materialize(raw, scratch / "rows.parquet")
        report = _report(rows, out, notes, advice, source)
        events = _write_events(rows, scratch, out)
        _write_rejects(rows, scratch / "rejects.csv")
        publish(events, out, scratch)
        _publish_rejects(scratch / "rejects.csv", report)
    return report


def rejects_path(out: Path) -> Path:
    """Return the path of the rejected rows of `out`."""
    return out.with_name(out.name.removesuffix(".parquet") + ".rejects.csv")


def _materialize(raw: ir.Table, file: Path) -> ir.Table:
    """Run the source once, into `file`; only rejected rows keep their original."""
    rows = validate_events(raw)
    record = rows.reason.notnull().ifelse(rows.record.cast("string"), ibis.null("string"))
    backend = _backend(raw)
    backend.to_parquet(rows.select(*SCHEMA, "reason", row=rows.row.cast("int64"), record=record), file)
    return backend.read_parquet(escape(str(file)))


def _backend(table: ir.Table) -> Backend:
    backend = table.get_backend()
    if not isinstance(backend, Backend):
        raise EventsError(f"found a table of {backend.name}; expected a table of DuckDB.")
    return backend


def _report(rows: ir.Table, out: Path, notes: tuple[str, ...], advice: Advice, source: str) -> ImportReport:
    counts = rows.group_by("reason").aggregate(rows=rows.count())
    groups = counts.order_by(counts.rows.desc(), "reason").to_pyarrow().to_pylist()
    reasons = {group["reason"]: group["rows"] for group in groups}
    accepted = reasons.pop(None, 0)
    rejected = sum(reasons.values())
    if not accepted:
        raise _no_events_error(rows, reasons, advice, source)
    first, last = time_range(rows.filter(rows.reason.isnull()))
    return ImportReport(
        read=accepted + rejected,
        accepted=accepted,
        rejected=rejected,
        reasons=_top_reasons(reasons),
        first=first,
        last=last,
        out=out,
        rejects=rejects_path(out) if rejected else None,
        notes=(*notes, ALL_1970) if last.year == EPOCH.year else notes,
    )


def _top_reasons(reasons: dict[str, int]) -> dict[str, int]:
    """Keep the most frequent reasons and sum the others."""
    if len(reasons) <= MAX_REASONS:
        return reasons
    top = dict(list(reasons.items())[:MAX_REASONS])
    return top | {OTHER: sum(reasons.values()) - sum(top.values())}


def _no_events_error(rows: ir.Table, reasons: dict[str, int], advice: Advice, source: str) -> EventsError:
    if not reasons:
        return EventsError(
            f"{source} has no rows; expected at least one event. Export it again, or import the file that has them."
        )
    common = "; ".join(f"{count} x {reason}" for reason, count in list(reasons.items())[:3])
    example = rows.order_by("row").limit(1).record.to_pyarrow()[0].as_py()
    first = f" The first row is {example}." if example else ""
    what_to_do = advice(reasons, example or "")
    return EventsError(
        f"none of the {sum(reasons.values())} rows is an event: {common}.{first}{what_to_do and ' '}{what_to_do}"
    )


def _write_events(rows: ir.Table, scratch: Path, out: Path) -> Path:
    """Write the events in a deterministic order; return the file, or the folder with its one part."""
    folder = scratch if is_single_file(out) else scratch / "parts"
    folder.mkdir(exist_ok=True)
    file = folder / "part-00000.parquet"
    events = rows.filter(rows.reason.isnull()).select(*SCHEMA).order_by(*SCHEMA)
    _backend(rows).to_parquet(events, file, compression="zstd")
    return file if is_single_file(out) else folder


def _write_rejects(rows: ir.Table, file: Path) -> None:
    rejected = rows.filter(rows.reason.notnull()).select("row", "reason", "record")
    _backend(rows).to_csv(rejected.order_by("row", "record", "reason"), file, header=True)


def _publish_rejects(file: Path, report: ImportReport) -> None:
    if report.rejects is None:
        rejects_path(report.out).unlink(missing_ok=True)
    else:
        publish(file, report.rejects, file.parent)


def validate_events(raw: ir.Table) -> ir.Table:
    """Add the reason why a row is not an event; null for events.

    Parameters
    ----------
    raw : columns of SCHEMA, optional ones may be absent; `reason` too, if the source sets one, which takes precedence

    Returns
    -------
    the columns of SCHEMA and `reason`, then all other columns of `raw`. Empty ids are null; the object of a post that
    names its new piece as the result is that piece; topics are distinct and sorted.

    """
    rows = _normalize(raw)
    reported = rows.reason if "reason" in rows.columns else ibis.null("string")
    reason = ibis.coalesce(reported, _invalid_reason(rows))
    rest = [name for name in rows.columns if name not in (*SCHEMA, "reason")]
    return rows.select(*SCHEMA, *rest, reason=reason)


def _normalize(raw: ir.Table) -> ir.Table:
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


def _invalid_reason(events: ir.Table) -> ir.StringValue:
    """Return what is wrong with a row's time, verb or users."""
    outside = ~events.time.between(ibis.literal(EPOCH), ibis.literal(LATEST))
    unknown = ibis.literal(UNKNOWN_VERB) + events.verb.substr(0, MAX_VERB_CHARS) + "'"
    return ibis.cases(
        (events.time.isnull(), NO_TIME),
        (outside, "time outside the years 1970 to 2200"),
        (events.time > ibis.literal(latest_event_time()), "time in the future"),
        (events.verb.isnull(), "verb missing"),
        (events.verb.notin(VERBS), unknown),
        (events.actor.isnull() & events.target.isnull(), "neither actor nor target known"),
    )


@dataclass(frozen=True)
class JsonLinesSource:
    """A source in JSON Lines: its files, the members of their objects, and the steps from members to events.

    Parameters
    ----------
    endings : endings of the names of readable files, in lower case
    expected : description of the files, for errors
    members : as in `read_members`
    required : members that occur in some line of every valid file
    select : maps the table from `read_members` to the columns that the events need, without large texts
    raw_events : maps the selected columns of all files, with `file`, the number of the file from 0, and the names of
        the files to rows for `ingest`
    notes : maps the selected columns to remarks for the report

    """

    endings: tuple[str, ...]
    expected: str
    members: Mapping[str, Pointers]
    required: tuple[str, ...]
    select: Callable[[ir.Table], ir.Table]
    raw_events: Callable[[ir.Table, tuple[str, ...]], ir.Table]
    notes: Callable[[ir.Table], tuple[str, ...]] = lambda _: ()

    def ingest(self, path: Path, out: Path, progress: Progress) -> ImportReport:
        """Import files as events.

        Parameters
        ----------
        path : a file, plain, .gz or .zst, or a folder of such files
        out : path for the events, as in `ingest`
        progress : called with the share of the bytes that is read

        Returns
        -------
        the counts of the events; `notes` names the skipped files, and what the source remarks

        Raises
        ------
        EventsError : no file can be read, a file is not from this source, or no line is an event

        """
        files, skipped = list_files(Path(path), self.endings, self.expected)
        backend = connect()
        check_events_path(Path(out))
        with scratch_dir(Path(out)) as scratch:
            rows = self._read(backend, files, scratch, progress)
            events = self.raw_events(rows, tuple(file.name for file in files))
            notes = (*skipped, *self.notes(rows))
            return ingest(events, Path(out), notes, lambda reasons, _: self._advise(files, reasons), str(path))

    def _advise(self, files: list[Path], reasons: Mapping[str, int]) -> str:
        """Say what was expected where no line is an object, and how to import a table."""
        if any(not reason.startswith(MALFORMED_LINE) for reason in reasons):
            return ""
        table = next((file for file in files if looks_like_csv(file)), None)
        hint = f" {table.name} looks like CSV; import it with 'clout import table'." if table else ""
        return f"Expected {self.expected}.{hint}"

    def _read(self, backend: Backend, files: list[Path], scratch: Path, progress: Progress) -> ir.Table:
        """Read the lines of all files, and reduce those of a file before the next is read."""
        advance = byte_progress(files, progress)
        for number, file in enumerate(files):
            copy = scratch / f"members{number}.parquet"
            rows = read_members(backend, file, copy, self.members)
            self._require_members(file, rows)
            part = self.select(rows).mutate(file=ibis.literal(number, "int64"))
            backend.to_parquet(part, scratch / f"part{number:06}.parquet")
            copy.unlink()
            advance(file.stat().st_size)
        return backend.read_parquet(escape(str(scratch)) + "/part*.parquet")

    def _require_members(self, file: Path, rows: ir.Table) -> None:
        """Refuse a file in which no object has a required member; malformed lines do not count."""
        objects = rows.filter(rows.reason.isnull())
        totals = objects.aggregate(lines=objects.count(), **{name: objects[name].count() for name in self.required})
        (counts,) = totals.to_pyarrow().to_pylist()
        absent = [name for name in self.required if not counts[name]]
        if (lines := counts["lines"]) and absent:
            raise EventsError(f"{file}: none of its {lines} lines has {' or '.join(absent)}; expected {self.expected}.")
