"""GH Archive: what happened in public on GitHub, hour by hour, as events.

| event | verb | target | object | result |
|---|---|---|---|---|
| WatchEvent (a star) | like | owner | the repository | |
| ForkEvent | repost | owner | the repository | |
| PullRequestEvent merged | like | who opened it | the pull request | |
| FollowEvent (until 2014) | follow | the followed | | |
| IssuesEvent, PullRequestEvent opened; DiscussionEvent | reply | owner | the repository | the new one |
| IssueCommentEvent | reply | who opened the issue or pull request | that one | the comment |
| PullRequestReviewEvent, PullRequestReviewCommentEvent | reply | who opened the pull request | that one | the review |
| CommitCommentEvent | reply | owner | the commit | the comment |
| PushEvent, ReleaseEvent, CreateEvent, GollumEvent, PublicEvent | post | | what is new | |
| GistEvent create or update, DownloadEvent (until 2014) | post | | what is new | |

Who receives an act is whom it is said to. The owner is the account before the / of the repository's name: a person or
an organisation, whoever in it answers. A comment is said to who opened the issue, or to the owner where that is unknown
or the one who comments. What is left, a reply by the owner on what is the owner's own, is a post. A push to someone
else's repository is the work of who pushes, and no act on its owner. A star, fork or merge of what is one's own is
rejected, and so is one whose receiver is unknown: neither is an act on another person.

All else (closing, labelling, deleting, adding members, sponsoring ...) is rejected with its kind as the reason. People
are called by their login, as it was at the time; who changes it becomes another person. Accounts of programs, such as
dependabot[bot], are accounts like others. Events from before 2015, where `actor` is a text and `repository` an object,
are read too; most have no id, so that repeated ones among them cannot be told. Of others the same id counts once.
Texts are not read; totals in a payload, such as the numbers of stars and forks, are never read.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ibis
import ibis.expr.types as ir

from features.atomic_files import check_events_path, scratch_dir
from features.events.event_table import connect
from features.importers.event_fields import original, refuse_repeats
from features.importers.ingestion import ImportReport, ingest
from features.importers.readers.files import list_files
from features.importers.readers.json_lines import read_parts
from features.importers.readers.values import read_id, read_time

ENDINGS = (".json.gz", ".json", ".jsonl.gz", ".jsonl", ".json.zst", ".jsonl.zst")
MEANT = "hours of GH Archive, such as 2024-01-01-0.json.gz"
MEMBERS = {
    "id": "/id",
    "type": "/type",
    "created_at": "/created_at",
    "login": "/actor/login",
    "old_login": "/actor_attributes/login",
    "old_actor": "/actor",
    "repo_name": "/repo/name",
    "old_owner": "/repository/owner",
    "old_name": "/repository/name",
    "url": "/url",
    "action": "/payload/action",
    "merged": "/payload/pull_request/merged",
    "number": "/payload/number",
    "issue_number": "/payload/issue/number",
    "issue_user": "/payload/issue/user/login",
    "pull_number": "/payload/pull_request/number",
    "pull_user": "/payload/pull_request/user/login",
    "discussion_number": "/payload/discussion/number",
    "comment_id": "/payload/comment/id",
    "old_comment_id": "/payload/comment_id",
    "commit_id": "/payload/comment/commit_id",
    "old_commit": "/payload/commit",
    "review_id": "/payload/review/id",
    "followed": "/payload/target/login",
    "sha": "/payload/head",
    "ref": "/payload/ref",
    "ref_type": "/payload/ref_type",
    "tag": "/payload/release/tag_name",
    "page": "/payload/pages/0/page_name",
    "gist": "/payload/id",
    "download": "/payload/download/name",
}
VERBS = {
    "WatchEvent": "like",
    "ForkEvent": "repost",
    "PullRequestEvent merged": "like",
    "FollowEvent": "follow",
    "IssuesEvent opened": "reply",
    "PullRequestEvent opened": "reply",
    "DiscussionEvent": "reply",
    "IssueCommentEvent": "reply",
    "PullRequestReviewEvent": "reply",
    "PullRequestReviewCommentEvent": "reply",
    "CommitCommentEvent": "reply",
    "PushEvent": "post",
    "ReleaseEvent": "post",
    "CreateEvent": "post",
    "GollumEvent": "post",
    "PublicEvent": "post",
    "GistEvent create": "post",
    "GistEvent update": "post",
    "DownloadEvent": "post",
}
USUAL = ("created", "forked", "published", "started")
OPENING = ("IssuesEvent opened", "PullRequestEvent opened", "DiscussionEvent")
TO_OPENER = ("IssueCommentEvent", "PullRequestReviewEvent", "PullRequestReviewCommentEvent")
PERSONAL = {"PullRequestEvent merged": "pull_user", "FollowEvent": "followed"}
COMMENTS = ("IssueCommentEvent", "PullRequestReviewCommentEvent", "CommitCommentEvent")
RECORD = {"id": "id", "type": "act", "created_at": "created_at", "actor": "actor", "repo": "repo"}
KEPT = ("id", "act", "created_at", "repo", "row", "reason")
SHOWN = 60


def import_gharchive(path: Path, out: Path, progress: Callable[[float], None] | None = None) -> ImportReport:
    """Import hours of GH Archive as events.

    Parameters
    ----------
    path : an hour as downloaded, .json.gz, or unpacked, or a folder of hours
    out : where the events go, as in `ingest`
    progress : called with the share of the bytes that is read

    Returns
    -------
    the counts over all lines; `notes` names files that were passed over

    Raises
    ------
    EventsError : nothing can be read there, a file is no hour of GH Archive, or nothing in it is an event

    """
    files, passed = list_files(Path(path), ENDINGS, MEANT)
    backend = connect()
    check_events_path(Path(out))
    with scratch_dir(Path(out)) as scratch:
        typical = ("type", "created_at")
        told = read_parts(backend, files, scratch, MEMBERS, raw_events, typical, MEANT, progress or (lambda *_: None))
        whole = refuse_repeats(told.mutate(key=_key(told)), ("key",))
        record = original(whole, RECORD, tuple(file.name for file in files))
        landing = ingest(whole.mutate(record=record).drop("key", "file", *KEPT[:4]), Path(out))
    return replace(landing, notes=passed)


def _key(told: ir.Table) -> ir.StringValue:
    """Name what is the same event: by its id, or without one by its own place."""
    return ibis.coalesce(told.id, told.file.cast("string") + " " + told.row.cast("string"))


def raw_events(found: ir.Table) -> ir.Table:
    """Turn the members of a file into rows for the door: the columns of SCHEMA that are known, row, record, reason.

    Parameters
    ----------
    found : with the columns of MEMBERS, row, record and reason, from `read_members`

    """
    named = _named(found)
    meant = _meant(named.mutate(act=_act(named)))
    aimed = meant.mutate(verb=((meant.verb == "reply") & meant.target.isnull()).ifelse("post", meant.verb))
    post = aimed.verb == "post"
    new = _new(aimed)
    return aimed.select(
        *(name for name in KEPT if name != "reason"),
        *("time", "actor", "verb"),
        target=post.ifelse(ibis.null("string"), aimed.target),
        object=post.ifelse(new, _about(aimed)),
        result=(aimed.verb == "reply").ifelse(new, ibis.null("string")),
        network=ibis.literal("github"),
        record=aimed.reason.notnull().ifelse(aimed.record, ibis.null("string")),
        reason=ibis.coalesce(aimed.reason, _no_act(aimed)),
    )


def _named(found: ir.Table) -> ir.Table:
    """Bring the forms from before and after 2015 together: `actor`, `owner`, `repo`, `thread` and `time`."""
    old_actor = found.old_actor.startswith("{").ifelse(ibis.null("string"), found.old_actor)
    repo = ibis.coalesce(found.repo_name, found.old_owner + "/" + found.old_name)
    number = ibis.coalesce(found.issue_number, found.pull_number, found.discussion_number, found.number)
    in_url = found.url.re_extract("/(?:issues|pull)/([0-9]+)", 1).nullif("")
    return found.mutate(
        id=read_id(found.id),
        actor=ibis.coalesce(found.login, found.old_login, old_actor).nullif(""),
        owner=repo.split("/")[0].nullif(""),
        repo=repo.nullif("/"),
        thread=repo + "#" + ibis.coalesce(number, in_url),
        time=read_time(found.created_at.replace("/", "-")),
    )


def _act(named: ir.Table) -> ir.StringValue:
    """Name the event, with its action where it is not the usual one; a merge was once told as a kind of closing."""
    merged = (named.type == "PullRequestEvent") & (named.action == "closed") & (named.merged == "true")
    action = merged.fill_null(False).ifelse("merged", named.action)
    return named.type + action.isin(USUAL).fill_null(True).ifelse("", ibis.literal(" ") + action)


def _meant(named: ir.Table) -> ir.Table:
    """Tell the `verb` of each event, and its `target`: the first it may be said to who isn't the actor."""
    opener = named.act.isin(TO_OPENER).ifelse(ibis.coalesce(named.issue_user, named.pull_user), ibis.null("string"))
    personal = named.act.cases(*((act, named[who]) for act, who in PERSONAL.items()))
    owner = named.act.isin(tuple(PERSONAL)).ifelse(ibis.null("string"), named.owner)
    others = (_other(named, person) for person in (opener, personal, owner))
    return named.mutate(verb=named.act.cases(*VERBS.items()), target=ibis.coalesce(*others))


def _other(named: ir.Table, person: ir.StringValue) -> ir.StringValue:
    """Drop a person who is the actor; logins differ in more than case."""
    return (person.lower() == named.actor.lower()).fill_null(False).ifelse(ibis.null("string"), person)


def _about(meant: ir.Table) -> ir.StringValue:
    """Name what an act on others is about."""
    commit = meant.repo + "@" + ibis.coalesce(meant.commit_id, meant.old_commit)
    thread = meant.act.isin((*TO_OPENER, "PullRequestEvent merged"))
    return ibis.cases(
        (meant.act == "FollowEvent", ibis.null("string")),
        (meant.act == "CommitCommentEvent", commit),
        (thread, meant.thread),
        else_=meant.repo,
    )


def _new(meant: ir.Table) -> ir.StringValue:
    """Name the piece that an act creates."""
    comment = ibis.coalesce(meant.comment_id, meant.old_comment_id)
    branch = (meant.ref_type == "repository").fill_null(False).ifelse(ibis.null("string"), meant.ref)
    at = {"PushEvent": meant.sha, "ReleaseEvent": meant.tag, "CreateEvent": branch}
    return meant.act.cases(
        *((act, meant.thread) for act in OPENING),
        *((act, _call(act.removesuffix("Event"), comment)) for act in COMMENTS),
        ("PullRequestReviewEvent", _call("PullRequestReview", meant.review_id)),
        *((act, meant.repo + (ibis.literal("@") + version).fill_null("")) for act, version in at.items()),
        ("GollumEvent", meant.repo + "/wiki/" + meant.page),
        ("PublicEvent", meant.repo),
        *((act, _call("Gist", meant.gist)) for act in VERBS if act.startswith("Gist")),
        ("DownloadEvent", meant.repo + "/downloads/" + meant.download),
    )


def _call(kind: str, number: ir.StringValue) -> ir.StringValue:
    return ibis.literal(f"{kind}:") + number


def _no_act(meant: ir.Table) -> ir.StringValue:
    """Tell why an event has no place in the event table."""
    alone = meant.verb.isin(("like", "repost", "follow")) & meant.target.isnull()
    return ibis.cases(
        (meant.act.isnull(), "type missing"),
        (meant.verb.isnull(), meant.act.substr(0, SHOWN) + " has no place in the event table"),
        (alone, meant.act + " is no act on another person who is known"),
    )
