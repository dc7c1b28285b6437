"""Advice on times of a table that cannot be read: which one is the first, and which forms read the others."""

import ibis
import ibis.expr.types as ir

from features.events.event_table import EPOCH
from features.importers.event_fields import LOCAL_FORMS, read_time, read_time_in_format

MAX_TIMES = 1_000
MAX_CHARS = 60
MANY, NEARLY_ALL = 0.05, 0.99  # shares of the times
DEFAULT = ""  # in place of a form: times are read without one
EXAMPLE = "'%a %b %d %H:%M:%S %z %Y'"
FORMS = (
    "Times are ISO 8601, such as 2024-01-01T12:00:00Z, or counts since 1970; --time-format reads others, such as "
    f"{EXAMPLE}, and --time-unit other counts."
)


def note_time_format(rows: ir.Table, form: str | None) -> tuple[str, ...]:
    """Return a note if many times do not fit a form and another form reads nearly all, as where days are months.

    Parameters
    ----------
    rows : `time`, null if unreadable, `time_text`, null if empty, and `row`
    form : that of `--time-format`, None without

    """
    if form is None:
        return ()
    read, shares = _readable_shares(rows)
    others = _best_forms(shares)
    if read > 1 - MANY or not others or shares[others[0]] <= read:
        return ()
    other = f"with '{others[0]}'" if others[0] else "without it"
    return (
        f"only {read:.0%} of the times are readable with --time-format '{form}', but {shares[others[0]]:.0%} {other}: "
        f"import again {other}, because the dates that were read may be wrong.",
    )


def advise_on_times(rows: ir.Table, form: str | None) -> str:
    """Show the first time that is unreadable, and name the options that read the times; as in `note_time_format`."""
    texts = rows.filter(rows.time_text.notnull())
    unreadable = texts.filter(texts.time.isnull()).order_by("file", "row").limit(1).time_text.to_pyarrow().to_pylist()
    if not unreadable and not texts.count().to_pyarrow().as_py():
        return "All times are empty; name another column with --map time=COLUMN."
    fault = f"does not fit '{form}'" if form else "cannot be read"
    first = [f"The first time, '{text[:MAX_CHARS]}', {fault}." for text in unreadable]
    return " ".join([*first, _suggest(_best_forms(_readable_shares(rows)[1]))])


def _suggest(forms: list[str]) -> str:
    if not forms:
        return FORMS
    if DEFAULT in forms:
        return "Leave out --time-format."
    options = " or ".join(f"--time-format '{form}'" for form in forms)
    return f"Try {options}."


def _best_forms(shares: dict[str, float]) -> list[str]:
    """Return the forms that read most times, if these are nearly all."""
    most = max(shares.values())
    return [form for form, share in shares.items() if share == most >= NEARLY_ALL]


def _readable_shares(rows: ir.Table) -> tuple[float, dict[str, float]]:
    """Return the share of times that were read, and that each form would read, in a sample from the whole table."""
    texts = rows.filter(rows.time_text.notnull())
    sample = texts.order_by(texts.row.hash(), "file").limit(MAX_TIMES).select("time", "time_text")
    times = {
        DEFAULT: read_time(sample.time_text),
        **{form: read_time_in_format(sample.time_text, form) for form in LOCAL_FORMS},
    }
    columns = {f"c{number}": _share(time) for number, time in enumerate(times.values())}
    (shares,) = sample.aggregate(read=_share(sample.time), **columns).to_pyarrow().to_pylist()
    return shares["read"], {form: shares[f"c{number}"] for number, form in enumerate(times)}


def _share(time: ir.TimestampValue) -> ir.FloatingScalar:
    """Return the share of times that are read, as an instant that events can have; 0 where there are none."""
    return (time >= ibis.literal(EPOCH)).fill_null(False).mean().fill_null(0.0)
