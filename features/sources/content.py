"""Content: what is kept of a text, which is not the text: a key that its near-duplicates share, and how many links.

| kept | of the text |
|---|---|
| content_hash | half of the SHA-256 of its small letters with single spaces; null where there is nothing to read |
| links | how many different http(s) addresses are in it; null where there is no text |
"""

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
