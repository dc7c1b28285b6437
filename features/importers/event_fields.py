"""Content: what is kept of a text, which is not the text: a key that its near-duplicates share, and how many links.

| kept | of the text |
|---|---|
| content_hash | half of the SHA-256 of its small letters with single spaces; null where there is nothing to read |
| links | how many different http(s) addresses are in it; null where there is no text |

Mentions: a piece that mentions people is an act on each of them as well.
The original of a row: what tells it from others, kept where it is rejected; texts of people are left out.
Repeats: files that overlap hold the same event again, which counts once.
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
    """Make a key that texts share which differ only in case and white space.

    Parameters
    ----------
    text : any text, on DuckDB

    Returns
    -------
    32 hexadecimal digits, null where the text is null or blank

    """
    spaced = _replace_all(text.lower(), OTHER_SPACES, " ", "g")
    plain = _replace_all(spaced, "  +", " ", "g").strip()
    return plain.nullif("").hexdigest("sha256").left(DIGITS)


def links(text: ir.StringValue) -> ir.IntegerValue:
    """Count the different http(s) addresses in a text; one that is there twice counts once.

    Parameters
    ----------
    text : any text, on DuckDB

    Returns
    -------
    the number, null where the text is null

    """
    told = (~text.contains("://")).ifelse("", text)
    return _extract_all(told, ADDRESS).unique().length()


CONTENT = {"mentions": "array<string>", "content_hash": "string", "links": "int64"}
NOTHING = {name: ibis.null(kind) for name, kind in CONTENT.items()}


def mentions(acts: ir.Table, piece: Callable[[ir.Table], ir.StringValue]) -> ir.Table:
    """Make an act of each mention, except that a reply doesn't mention whom it replies to.

    Parameters
    ----------
    acts : with `mentions`, a list of people, `verb`, `target`, `reason` and the columns of CONTENT
    piece : names the piece that mentions

    Returns
    -------
    the columns of `acts` without `mentions`; what the content is stays with the first act

    """
    first = acts.filter(acts.reason.isnull(), acts.mentions.length() > 0)
    each = first.mutate(person=first.mentions.unnest())
    others = each.filter((each.verb != "reply") | each.target.isnull() | (each.person != each.target))
    made = others.mutate(
        verb=ibis.literal("mention"), target=others.person, object=piece(others), result=ibis.null("string"), **NOTHING
    )
    return made.select([name for name in acts.columns if name != "mentions"])


def original(rows: ir.Table, fields: dict[str, str], files: tuple[str, ...]) -> ir.StringValue:
    """Write the record of each row.

    Parameters
    ----------
    rows : with `file`, a number, and `record`, the line where it is malformed
    fields : for each name in the record the column that holds its value
    files : the names of the files, which go before the records where there is more than one

    """
    told = ibis.struct({name: rows[column] for name, column in fields.items()}).cast("json").cast("string")
    record = ibis.coalesce(rows.record, told)
    if len(files) < 2:
        return record
    return rows.file.cases(*((number, f"{name} ") for number, name in enumerate(files))) + record


REPEATED = "the same event again"


def refuse_repeats(rows: ir.Table, key: tuple[str, ...]) -> ir.Table:
    """Give all but the first of the same events a reason.

    Parameters
    ----------
    rows : with `time`, `file`, `row` and `reason`; rows that have a reason already, or no time, are left alone
    key : the columns that are alike in the same events; nulls are alike

    Returns
    -------
    the same rows; of the same events the earliest stands

    """
    taken = rows.reason.isnull() & rows.time.notnull()
    place = ibis.row_number().over(
        group_by=[taken, *(rows[name] for name in key)], order_by=[rows.time, rows.file, rows.row]
    )
    return rows.mutate(reason=(taken & (place > 0)).ifelse(REPEATED, rows.reason))
