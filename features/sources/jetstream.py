"""Jetstream: the messages of Bluesky's network, a JSON object a line, read into one table."""

from collections.abc import Callable
from pathlib import Path

import ibis
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from features.sources.content import content_hash, links
from features.sources.parts import read_parts
from features.sources.values import json_extract_string, json_valid, make_timestamp

MEANT = "messages of Jetstream in JSON Lines, each with did, time_us and kind"
MEMBERS = {
    "did": "/did",
    "time": "/time_us",
    "kind": "/kind",
    "operation": "/commit/operation",
    "collection": "/commit/collection",
    "rkey": "/commit/rkey",
    "rev": "/commit/rev",
    "made": "/commit/record/$type",
    "subject": "/commit/record/subject",
    "on": "/commit/record/subject/uri",
    "reply": "/commit/record/reply",
    "parent": "/commit/record/reply/parent/uri",
    "embedded": "/commit/record/embed/record/uri",
    "embedded_with_media": "/commit/record/embed/record/record/uri",
    "card": "/commit/record/embed/external/uri",
    "card_with_quote": "/commit/record/embed/media/external/uri",
    "facets": "/commit/record/facets",
    "tags": "/commit/record/tags",
    "text": "/commit/record/text",
}
POST = "app.bsky.feed.post"
FOLLOW = "app.bsky.graph.follow"
DID = r"^did:[a-z]+:[A-Za-z0-9._:%-]+$"
QUOTABLE = rf"^at://did:[a-z]+:[A-Za-z0-9._:%-]+/{POST}/[^/]+$"
LATEST = 10**16


def read_commits(backend: Backend, files: list[Path], scratch: Path, progress: Callable[[float], None]) -> ir.Table:
    """Read the messages of files, one file after the other.

    Parameters
    ----------
    backend : where the table lives
    files : plain, gzipped or .zst
    scratch : folder to copy what is wanted into
    progress : called with the share of the bytes that is read

    Returns
    -------
    a row per message. `file`, `row`, `record`, `reason` tell its place and what is wrong with the line; `did`, `time`,
    `kind`, `operation`, `collection`, `rkey`, `rev` what it is; `subject` is the DID and `on` the piece that it is on,
    `parent` what it replies to (`answers` says whether it does), `quoted` the post that it embeds; `told` says whether
    there is a record of a post, with `mentions`, `topics`, `content_hash` and `links`

    Raises
    ------
    EventsError : a file cannot be read, or is nothing of Jetstream's

    """
    return read_parts(backend, files, scratch, MEMBERS, _settled, ("did", "kind"), MEANT, progress)


def _settled(found: ir.Table) -> ir.Table:
    """Keep of the members what the events need; texts and lists of facets are large."""
    quoted = ibis.coalesce(found.embedded_with_media, found.embedded)
    micros = found.time.try_cast("int64")
    return found.select(
        *("row", "reason", "did", "kind", "operation", "collection", "rkey", "rev", "on", "parent"),
        record=found.reason.notnull().ifelse(found.record, ibis.null("string")),
        time=make_timestamp(micros.between(0, LATEST).ifelse(micros, ibis.null("int64"))).cast("timestamp('UTC')"),
        subject=found.subject.re_search(DID).ifelse(found.subject, ibis.null("string")),
        answers=found.reply.notnull(),
        told=found.text.notnull() | found.made.notnull(),
        quoted=quoted.re_search(QUOTABLE).ifelse(quoted, ibis.null("string")),
        mentions=_of_facets(found, "did").filter(lambda each: each.re_search(DID)).unique(),
        topics=_topics(found),
        content_hash=content_hash(found.text),
        links=_links(found),
    )


def _listed(member: ir.StringValue) -> ir.StringValue:
    return (member.startswith("[") & json_valid(member)).ifelse(member, ibis.null("string"))


def _of_facets(found: ir.Table, name: str) -> ir.ArrayValue:
    """List what the facets of a text hold: `did` of mentions, `tag` of hashtags, `uri` of links."""
    return json_extract_string(_listed(found.facets), f"$[*].features[*].{name}")


def _topics(found: ir.Table) -> ir.ArrayValue:
    none = ibis.literal([], "array<string>")
    tags = (
        _of_facets(found, "tag")
        .fill_null(none)
        .concat(json_extract_string(_listed(found.tags), "$[*]").fill_null(none))
    )
    return tags.map(lambda each: each.re_replace("^#", "").lower())


def _links(found: ir.Table) -> ir.IntegerValue:
    """Count the links: those marked in the text and of the card below it, or else those written in the text."""
    marked = _of_facets(found, "uri").fill_null(ibis.literal([], "array<string>"))
    card = ibis.array([ibis.coalesce(found.card, found.card_with_quote)]).filter(lambda each: each.notnull())
    count = marked.concat(card).unique().length()
    return ibis.cases((count > 0, count), (found.text.notnull(), links(found.text)))
