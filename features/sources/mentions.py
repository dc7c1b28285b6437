"""Mentions: a piece that mentions people is an act on each of them as well."""

from collections.abc import Callable

import ibis
import ibis.expr.types as ir

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
