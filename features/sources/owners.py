"""Owners: whose a piece is, as far as the activities or its address tell.

| address | person |
|---|---|
| `https://HOST/users/NAME/statuses/ID` (Mastodon, GoToSocial) | `https://HOST/users/NAME` |
| `https://HOST/ap/users/ID/statuses/ID` (Mastodon) | `https://HOST/ap/users/ID` |
| `https://HOST/@NAME/ID`, ID a number (Mastodon's page of it) | `https://HOST/users/NAME` |
| `https://HOST/p/NAME/ID`, ID a number (Pixelfed) | `https://HOST/users/NAME` |

A person's own address, `https://HOST/users/NAME` or `https://HOST/@NAME`, is that person's. Other addresses tell
nothing.
"""

import ibis
import ibis.expr.types as ir

ADDRESSES = (
    (r"^(https?://[^/?#]+(?:/ap)?/users/[^/?#]+)(?:/statuses/[^/?#]+)?(?:/activity)?/?$", r"\1"),
    (r"^(https?://[^/?#]+)/@([^/@?#]+)(?:/[0-9]+)?/?$", r"\1/users/\2"),
    (r"^(https?://[^/?#]+)/p/([^/@?#]+)/[0-9]+/?$", r"\1/users/\2"),
)
BREAK = "\n"


def owner_by_address(address: ir.StringValue) -> ir.StringValue:
    """Read from the address of a piece whose it is; null where it doesn't tell."""
    return ibis.cases(*((address.re_search(form), address.re_replace(form, person)) for form, person in ADDRESSES))


def owners(activities: ir.Table) -> ir.Table:
    """List the pieces that the activities tell the owner of: (known, owner, known_topics).

    Who created a piece counts more than who is said to have written it by somebody who passes it on. People own
    themselves.

    Parameters
    ----------
    activities : from `read_activities`

    """
    a = activities
    created = a.kind == "Create"
    said = ibis.union(
        _said(a.filter(created), a.piece, ibis.coalesce(a.author, a.actor), rank=0, topics=a.topics),
        _said(a.filter(~created), a.piece, a.author, rank=1, topics=a.topics),
        _said(a, a.parent, a.parent_author, rank=1),
        _said(a, a.actor, a.actor, rank=2),
    )
    known = said.filter(said.known.notnull(), said.owner.notnull()).group_by("known")
    return known.aggregate(
        owner=ibis.coalesce(*(said.owner.min(where=said.rank == rank) for rank in range(3))),
        known_topics=said.topics.max().split(BREAK),
    )


def _said(
    activities: ir.Table, known: ir.StringValue, owner: ir.StringValue, rank: int, topics: ir.ArrayValue | None = None
) -> ir.Table:
    joined = ibis.null("string") if topics is None else topics.join(BREAK).nullif("")
    return activities.select(known=known, owner=owner, rank=ibis.literal(rank), topics=joined)
