"""Fields and steps that the importers share: content hash, links, mentions, records of rejected rows, duplicates.

| field | of the text |
|---|---|
| content_hash | half of the SHA-256 of its lower case with single spaces; null if there is nothing to read |
| links | the number of different http(s) addresses in it; null if the text is null |

The text itself is never stored, neither in events nor in the records of rejected rows.
"""

from collections.abc import Callable

import ibis
import ibis.expr.types as ir

OTHER_SPACES = r"[\t\n\v\f\r\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}\p{Zl}\p{Zp}\p{Cf}]"
ADDRESS = r"""(?i:https?)://[^\s<>"'\])]+"""
DIGITS = 32


@ibis.udf.scalar.builtin(name="regexp_replace")
def _replace_all(text: str, pattern: str, by: str, options: str) -> str:
    raise NotImplementedError


@ibis.udf.scalar.builtin(name="regexp_extract_all")
def _extract_all(text: str, pattern: str) -> list[str]:
    raise NotImplementedError


def content_hash(text: ir.StringValue) -> ir.StringValue:
    """Compute a key that is equal for texts that differ only in case and white space.

    Parameters
    ----------
    text : any text, on DuckDB

    Returns
    -------
    32 hexadecimal digits; null if the text is null or blank

    """
    spaced = _replace_all(text.lower(), OTHER_SPACES, " ", "g")
    plain = _replace_all(spaced, "  +", " ", "g").strip()
    return plain.nullif("").hexdigest("sha256").left(DIGITS)


def links(text: ir.StringValue) -> ir.IntegerValue:
    """Count the different http(s) addresses in a text.

    Parameters
    ----------
    text : any text, on DuckDB

    Returns
    -------
    the number; null if the text is null

    """
    candidates = (~text.contains("://")).ifelse("", text)
    return _extract_all(candidates, ADDRESS).unique().length()


CONTENT = {"mentions": "array<string>", "content_hash": "string", "links": "int64"}
NO_CONTENT = {name: ibis.null(kind) for name, kind in CONTENT.items()}


def mentions(events: ir.Table, piece: Callable[[ir.Table], ir.StringValue]) -> ir.Table:
    """Build one event per mentioned user; a reply does not mention the user that it replies to.

    Parameters
    ----------
    events : with `mentions`, a list of users, `verb`, `target`, `reason` and the columns of CONTENT
    piece : returns the id of the piece that mentions

    Returns
    -------
    the columns of `events` without `mentions`; the columns of CONTENT are null, because they belong to the first event

    """
    sources = events.filter(events.reason.isnull(), events.mentions.length() > 0)
    pairs = sources.mutate(user=sources.mentions.unnest())
    others = pairs.filter((pairs.verb != "reply") | pairs.target.isnull() | (pairs.user != pairs.target))
    rows = others.mutate(
        verb=ibis.literal("mention"), target=others.user, object=piece(others), result=ibis.null("string"), **NO_CONTENT
    )
    return rows.select([name for name in events.columns if name != "mentions"])


def build_record(rows: ir.Table, fields: dict[str, str], files: tuple[str, ...]) -> ir.StringValue:
    """Build the record of each row: the fields that identify it in the list of rejected rows.

    Parameters
    ----------
    rows : with `file`, a number, and `record`, the line if it is malformed
    fields : the column of each name in the record
    files : the names of the files, which prefix the records if there is more than one

    """
    identity = ibis.struct({name: rows[column] for name, column in fields.items()}).cast("json").cast("string")
    text = ibis.coalesce(rows.record, identity)
    if len(files) < 2:
        return text
    return rows.file.cases(*((number, f"{name} ") for number, name in enumerate(files))) + text


DUPLICATE = "the same event again"


def reject_duplicates(rows: ir.Table, key: tuple[str, ...]) -> ir.Table:
    """Set a reason on all but the earliest of equal events.

    Parameters
    ----------
    rows : with `time`, `file`, `row` and `reason`; rows with a reason, or without a time, do not change
    key : the columns that are equal in equal events; nulls are equal

    Returns
    -------
    the same rows

    """
    valid = rows.reason.isnull() & rows.time.notnull()
    position = ibis.row_number().over(
        group_by=[valid, *(rows[name] for name in key)], order_by=[rows.time, rows.file, rows.row]
    )
    return rows.mutate(reason=(valid & (position > 0)).ifelse(DUPLICATE, rows.reason))
