"""Import any table in CSV, JSON Lines or Parquet, with a mapping of columns and verbs."""

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from glob import escape
from pathlib import Path

import ibis
import ibis.expr.types as ir
from duckdb import Error as DuckDBError
from ibis.backends.duckdb import Backend

from features.atomic_files import check_events_path, scratch_dir
from features.errors import EventsError, did_you_mean, first_line
from features.events.encoding import microseconds
from features.events.event_table import ENGAGEMENTS, REQUIRED, SCHEMA, VERBS, connect
from features.events.ids import column_text, invalid_id
from features.importers.event_fields import (
    READERS,
    UNITS,
    read_time_in_format,
    read_time_in_unit,
    reject_duplicates,
)
from features.importers.ingestion import MAX_VERB_CHARS, UNKNOWN_VERB, ImportReport, ingest
from features.importers.readers.files import note_subfolders, refuse_archive, require_utf8_name, visible_files
from features.importers.readers.json_lines import open_jsonlines
from features.importers.readers.tabular import MALFORMED_LINE, TableReader, match_column, open_delimited, open_parquet
from features.importers.time_advice import EXAMPLE, advise_on_times, note_time_format

OPENERS: dict[str, Callable[[Backend, Path, Path], TableReader]] = {
    ".csv": open_delimited,
    ".tsv": open_delimited,
    ".jsonl": open_jsonlines,
    ".ndjson": open_jsonlines,
    ".json": open_jsonlines,
    ".parquet": open_parquet,
}

Reader = Callable[[ir.Column], ir.Value]

MALFORMED_ADVICE = {
    "fields": "Write as many fields as the first line has names, with quotes around those that hold the delimiter.",
    "quotes": 'Close every quote, and write those inside a field twice: "say ""hi""".',
    "too long": "Close every quote, for an open one joins all lines after it.",
    "object": "Write one whole JSON object per line.",
}
MEANT = f"where MEANT is one of {', '.join(VERBS)}."
MAX_VERBS, MAX_WORDS = 3, 100
MIN_TARGETS = 100
MIN_ACTING = 0.05  # share of targets; below it they are rather posts than users
TARGET = " The target is the user who was answered or liked, not the post."
ID_FIELDS = ("actor", "target", "object", "result")
USER_FIELDS = ("actor", "target")
UNKNOWN_USERS = ("[deleted]", "[removed]", "NULL", "\\N", "None", "NaN", "nan", "<NA>")
END_OF_DAY = 86_399_999_999  # microseconds; the time of a day without a time


def import_table(
    path: Path,
    out: Path,
    mapping: Mapping[str, str],
    verbs: Mapping[str, str],
    unknown: Sequence[str] = UNKNOWN_USERS,
    keep_duplicates: bool = False,
    time_format: str | None = None,
    time_unit: str | None = None,
) -> ImportReport:
    """Import a file, or a folder of files of one kind, as events.

    Parameters
    ----------
    path : `.csv`, `.tsv`, `.jsonl`, `.ndjson` or `.json`, each also with `.gz`, or `.parquet`
    out : where the events go, as in `ingest`
    mapping : the column of a field of the event table, or a member of an object in it, such as `author.id`; other
        fields use the column of their own name
    verbs : the verb of the event table for a verb of the source
    unknown : texts in place of an id that stand for an unknown user; the report counts them
    keep_duplicates : whether rows that are equal in all columns of the source, mapped or not, are events of their own.
        By default only the first one is, where the actor is known and the time is more than a day.
    time_format : the form of times as `strptime` takes it, such as `%d.%m.%Y %H:%M`; None for those of `event_fields`
    time_unit : the unit of times that are counts, of UNITS; None infers it from their size

    Raises
    ------
    EventsError : the file cannot be read, a column is missing, or a name in `mapping` or `verbs` is unknown

    """
    _require_allowed("--map", "field of the event table", mapping, tuple(SCHEMA))
    _require_allowed("--verb", "verb", verbs.values(), VERBS)
    if Path(path).resolve() == Path(out).resolve():
        raise EventsError(f"--out is {out}, the source itself; choose another path.")
    files = _files(Path(path))
    backend = connect()
    read_time = _time_reader(backend, time_format, time_unit)
    check_events_path(Path(out))
    with scratch_dir(Path(out)) as scratch:
        tables = [
            _read(backend, file, mapping, scratch / f"file{n}.parquet", read_time).mutate(file=ibis.literal(n))
            for n, file in enumerate(files)
        ]
        rows = _union(tables)
        rows = rows.mutate(word=rows.verb, verb=rows.verb.substitute(dict(verbs))) if verbs else rows
        backend.to_parquet(rows, scratch / "fields.parquet")
        rows = backend.read_parquet(escape(str(scratch / "fields.parquet")))
        kind = _kind(files[0])
        skipped = note_subfolders(Path(path), (kind, f"{kind}.gz")) if Path(path).is_dir() else ()
        notes = (*skipped, *_count_unknown(rows, unknown), *_count_without_target(rows))
        rows = _without_unknown(rows, unknown)
        absent = _absent_words(rows, verbs)
        notes = (*notes, *_count_acting_targets(rows), *absent, *note_time_format(rows, time_format))
        events = rows if keep_duplicates else _reject_duplicates(rows)
        report = ingest(events, Path(out), notes, partial(_advice, rows, time_format, absent), str(path))
    return replace(report, notes=(*report.notes, *_notes_on_rejected(report)))


def _advice(
    rows: ir.Table, time_format: str | None, absent: Sequence[str], reasons: Mapping[str, int], _record: str
) -> str:
    """Say which changes to lines, and which options, may turn rows into events."""
    malformed = [reason for reason in reasons if reason.startswith(MALFORMED_LINE)]
    advice = [text for fault, text in MALFORMED_ADVICE.items() if any(fault in reason for reason in malformed)]
    if len(malformed) == len(reasons):
        return " ".join(advice)
    unreadable = any(reason.startswith("time ") for reason in reasons)
    times = [advise_on_times(rows, time_format)] if unreadable else []
    options = f"Name columns with --map FIELD=COLUMN and verbs with --verb FOUND=MEANT, {MEANT}"
    return " ".join([*advice, *absent, *times, options])


def _absent_words(rows: ir.Table, verbs: Mapping[str, str]) -> tuple[str, ...]:
    """Return a note on each word of `verbs` that no row has."""
    if not verbs:
        return ()
    present = set(rows.filter(rows.word.isin(list(verbs))).select("word").distinct().word.to_pyarrow().to_pylist())
    counts = rows.filter(rows.word.notin(list(verbs))).group_by("word").aggregate(rows=lambda t: t.count())
    others = counts.order_by(ibis.desc("rows"), "word").limit(MAX_WORDS).word.to_pyarrow().to_pylist()
    return tuple(
        f"--verb {word}={verb}: no row has {word!r}{did_you_mean(word, others)}."
        for word, verb in verbs.items()
        if word not in present
    )


def _notes_on_rejected(report: ImportReport) -> tuple[str, ...]:
    """Say how to map the most frequent unknown verbs, and whether more than half of the rows are rejected."""
    unknown = [
        reason.removeprefix(UNKNOWN_VERB).removesuffix("'")
        for reason in report.reasons
        if reason.startswith(UNKNOWN_VERB)
    ]
    options = [shlex.quote(f"{verb}=MEANT") for verb in unknown if len(verb) < MAX_VERB_CHARS]
    notes = []
    if options:
        listed = " ".join(f"--verb {option}" for option in options[:MAX_VERBS])
        notes.append(f"unknown verbs are mapped with {listed}, {MEANT}")
    if report.rejected > report.accepted:
        notes.append(f"more than half of the rows are rejected: {report.rejected:,} of {report.read:,}.")
    return tuple(notes)


def _union(tables: Sequence[ir.Table]) -> ir.Table:
    """Put the rows of files together; fields that a file lacks are null."""
    if len(tables) == 1:
        return tables[0]
    absent = {
        field: ibis.null(kind) for field, kind in SCHEMA.items() if any(field in table.columns for table in tables)
    }
    full = [table.mutate(**{name: absent[name] for name in absent.keys() - table.columns}) for table in tables]
    return ibis.union(*(table.select(*sorted(table.columns)) for table in full))


def _count_unknown(rows: ir.Table, unknown: Sequence[str]) -> tuple[str, ...]:
    """Return a note that counts the texts for unknown users, if there are any."""
    texts = ibis.union(*(rows.select(text=rows[field]) for field in USER_FIELDS), distinct=False)
    counts = texts.filter(texts.text.isin(list(unknown))).group_by("text").aggregate(rows=lambda t: t.count())
    groups = counts.order_by(ibis.desc("rows"), "text").to_pyarrow().to_pylist() if unknown else []
    if not groups:
        return ()
    listed = ", ".join(f"{group['text']} ({group['rows']})" for group in groups)
    return (f"read as unknown users: {listed}; --unknown-user names other texts, --unknown-user '' none.",)


def _count_without_target(rows: ir.Table) -> tuple[str, ...]:
    """Return a note on each kind of engagement most rows of which have no target."""
    engagements = rows.filter(rows.reason.isnull() & rows.verb.isin(ENGAGEMENTS))
    counts = engagements.group_by("verb").aggregate(rows=lambda t: t.count(), without=lambda t: t.target.isnull().sum())
    groups = counts.filter(counts["without"] * 2 > counts["rows"]).order_by("verb").to_pyarrow().to_pylist()
    return tuple(
        f"{group['without']:,} of {group['rows']:,} rows with the verb {group['verb']} have no target, "
        "so nobody gets credit for them: target is the user it was done to, not the post."
        for group in groups
    )


def _count_acting_targets(rows: ir.Table) -> tuple[str, ...]:
    """Return a note if nearly none of the targets of responses by others is an actor in any row."""
    read = rows.filter(rows.reason.isnull())
    responses = read.filter(read.verb.isin(ENGAGEMENTS) & ~read.target.identical_to(read.actor))
    targets = responses.select(user="target").filter(lambda t: t.user.notnull()).distinct()
    actors = read.filter(read.actor.notnull()).actor
    counts = targets.aggregate(distinct=targets.count(), active=targets.user.isin(actors).sum())
    distinct, active = counts.to_pyarrow().to_pylist()[0].values()
    if distinct < MIN_TARGETS or active >= MIN_ACTING * distinct:
        return ()
    return (
        f"{f'only {active:,}' if active else 'none'} of {distinct:,} targets of responses by others act themselves: "
        "target has to be the id of the user whose post it is, not of the post. This can be right where only received "
        "responses were exported.",
    )


def _without_unknown(rows: ir.Table, unknown: Sequence[str]) -> ir.Table:
    fields = [field for field in (*ID_FIELDS, "time_text") if field in rows.columns and unknown]
    return rows.mutate(**{field: rows[field].isin(list(unknown)).ifelse(None, rows[field]) for field in fields})


def _reject_duplicates(rows: ir.Table) -> ir.Table:
    """Reject repeated rows by known actors, except at the end of a day, which stands for a day without a time."""
    of_day = microseconds(rows.time) % 86_400_000_000
    return reject_duplicates(rows, ("digest", "time", "actor"), rows.actor.notnull() & (of_day != END_OF_DAY))


def _require_allowed(option: str, kind: str, names: Iterable[str], allowed: tuple[str, ...]) -> None:
    for name in names:
        if name not in allowed:
            raise EventsError(
                f"{option}: {name!r} is not a {kind}{did_you_mean(name, allowed)}; expected one of {_join(allowed)}."
            )


def _join(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "(none)"


def _files(path: Path) -> list[Path]:
    """List the files to read: the file itself, or the files of a folder, which must be of one kind."""
    if not path.exists():
        raise EventsError(f"{path} does not exist; expected a file or a folder of files.")
    if not path.is_dir():
        require_utf8_name(path)
        return [path]
    files = visible_files(path)
    kinds = {_kind(file) for file in files}
    if len(kinds) != 1:
        names = _join([file.name for file in files[:8]])
        raise EventsError(f"{path} must hold files of one kind, {_join(list(OPENERS))}; found {names}.")
    return files


def _kind(file: Path) -> str:
    return Path(file.name.lower().removesuffix(".gz")).suffix


def _time_reader(backend: Backend, time_format: str | None, time_unit: str | None) -> Reader:
    if time_format and time_unit:
        raise EventsError("--time-format and --time-unit exclude each other; pass one of them.")
    if time_unit:
        _require_allowed("--time-unit", "unit of time", [time_unit], tuple(UNITS))
        return lambda column: read_time_in_unit(column, time_unit)
    if not time_format:
        return READERS["time"]
    try:
        backend.con.execute("SELECT CAST(try_strptime('', ?) AS VARCHAR)", [time_format])
    except DuckDBError as error:
        raise EventsError(
            f"--time-format is {time_format!r}: {first_line(error)}. Expected such as {EXAMPLE}."
        ) from error
    return lambda column: read_time_in_format(column, time_format)


def _read(backend: Backend, file: Path, mapping: Mapping[str, str], scratch: Path, read_time: Reader) -> ir.Table:
    """Read a file's columns as fields, with `row`, `digest`, `record`, `reason` and `time_text`."""
    kind = _kind(file)
    refuse_archive(file)
    if kind not in OPENERS:
        raise EventsError(f"{file} is of an unknown kind; expected a name that ends in {_join(list(OPENERS))}.")
    reader = OPENERS[kind](backend, file, scratch)
    columns = _columns(file, reader, mapping)
    rows = reader.select(columns)
    reasons = [ibis.literal(f"{field} ") + invalid_id(rows[field]) for field in ID_FIELDS if field in columns]
    return rows.select(
        *("row", "digest", "record"),
        reason=ibis.coalesce(rows.reason, *reasons),
        time_text=column_text(rows["time"]).nullif(""),
        **{field: (read_time if field == "time" else READERS[field])(rows[field]) for field in columns},
    )


def _columns(file: Path, reader: TableReader, mapping: Mapping[str, str]) -> dict[str, str]:
    """Return the column of each field that has one."""
    columns = reader.columns
    for field, column in mapping.items():
        if column not in columns and not reader.has_member(column):
            hint = did_you_mean(column, columns)
            raise EventsError(f"--map {field}={column}: {file} has no such column{hint}. It has {_join(columns)}.")
    by_name = {field: similar for field in SCHEMA if (similar := match_column(field, columns))}
    selected = by_name | dict(mapping)
    missing = [field for field in REQUIRED if field not in selected]
    if missing:
        raise EventsError(
            f"{file} lacks {_join(missing)}; it has the columns {_join(columns)}. Map a column to each missing field: "
            f"{' '.join(f'--map {field}=COLUMN' for field in missing)}.{TARGET if 'target' in missing else ''}"
        )
    return selected
