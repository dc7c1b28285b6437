"""Linked data: the freedoms of JSON-LD, where a value may be one or many, and a thing itself or its name.

| written | read |
|---|---|
| `"a"`, `["a"]` | the one text a |
| `{"id": "a"}`, `{"@id": "a"}`, `{"href": "a"}` | the thing called a |
| `as:Note`, `https://www.w3.org/ns/activitystreams#Note` | the type Note |
"""

import ibis
import ibis.expr.types as ir

from features.sources.values import json_extract_string, json_valid

VOCABULARY = r"^(as:|https?://www\.w3\.org/ns/activitystreams#)"
NAMES = ("/id", "/@id", "/href")


@ibis.udf.scalar.builtin(name="json_extract_string")
def _text(json: str, pointer: str) -> str:
    raise NotImplementedError


def text_at(thing: ir.StringValue, *pointers: str) -> ir.StringValue:
    """Read the first text that is there in a JSON object.

    The null makes it a call in SQL: a bare arrow, as which it would be written, cannot stand in a lambda.
    """
    return ibis.coalesce(*(_text(thing, pointer) for pointer in pointers), ibis.null("string"))


def all_of(member: ir.StringValue) -> ir.ArrayValue:
    """List the values of a member, things in them as JSON; none where it is absent or damaged."""
    listed = (member.startswith("[") & json_valid(member)).ifelse(member, ibis.null("string"))
    alone = member.startswith("[").ifelse(ibis.null("string"), member)
    values = listed.notnull().ifelse(json_extract_string(listed, "$[*]"), ibis.array([alone]))
    return values.filter(lambda each: each.notnull() & (~each.startswith("{") | json_valid(each)))


def all_ids(member: ir.StringValue) -> ir.ArrayValue:
    """List the names of the things in a member."""
    return all_of(member).map(_id).filter(lambda each: each.notnull())


def one_id(member: ir.StringValue) -> ir.StringValue:
    """Name the thing in a member, the first one where there are more."""
    return all_ids(member)[0]


def one_type(member: ir.StringValue, known: tuple[str, ...]) -> ir.StringValue:
    """Read a type; of more than one the first that is known, or else the first."""
    names = all_of(member).map(lambda each: each.re_replace(VOCABULARY, "").nullif(""))
    return ibis.coalesce(names.filter(lambda each: each.isin(known))[0], names[0])


def tagged(member: ir.StringValue, kind: str, name: str) -> ir.ArrayValue:
    """List a text of each of the things in a member that are of one kind; `name` is its JSON pointer."""
    things = all_of(member).filter(lambda each: each.startswith("{"))
    written = rf'(^|["#:]){kind}("|$)'
    wanted = things.filter(lambda each: text_at(each, "/type", "/@type").re_search(written))
    return wanted.map(lambda each: text_at(each, name)).filter(lambda each: each.notnull())


def _id(value: ir.StringValue) -> ir.StringValue:
    thing = value.startswith("{").ifelse(value, ibis.null("string"))
    return thing.notnull().ifelse(text_at(thing, *NAMES), value).nullif("")
