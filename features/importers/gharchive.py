"""Import GH Archive: the public events of GitHub in hourly files.

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

The owner is the account before the / of the repository's name, a user or an organisation. The target of a comment on an
issue is the user who opened it, or the owner if the opener is unknown or the commenter. Reviews and merges since
October 2025 do not say who opened the pull request. It is looked up in the files: in the event that opened it, or in
others that say it, such as comments. If it is not there, the target of a review is null, never the owner, and the
review counts for its author only. A reply whose only possible target is its actor, such as the owner in an own thread,
is a post. A push to the repository of another user is a post
of the pusher, not an event on the owner. A star, fork or merge is rejected if its target is unknown or the actor.

All other kinds (closing, labelling, deleting, adding members, sponsoring ...) are rejected with the kind as the reason.
User ids are logins at the time of the event; a renamed account becomes another user. Accounts of programs, such as
dependabot[bot], are normal accounts. Events before 2015, where `actor` is a text and `repository` an object, are read
too; most have no id, so duplicates among them are not detected. Other events count once per id, type and time, because
GitHub counts ids anew since October 2025, in two sequences. Texts and totals in a payload, such as the numbers of stars
and forks, are never read.
"""

from pathlib import Path

import ibis
import ibis.expr.types as ir

from features.events.ids import read_id
from features.importers.event_fields import build_record, read_time, reject_duplicates
from features.importers.ingestion import ImportReport, JsonLinesSource
from features.progress import Progress, ignore_progress

ENDINGS = (".json.gz", ".json", ".jsonl.gz", ".jsonl", ".json.zst", ".jsonl.zst")
EXPECTED = "hours of GH Archive, such as 2024-01-01-0.json.gz"
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
DEFAULT_ACTIONS = ("created", "forked", "published", "started")
OPENS_THREAD = ("IssuesEvent opened", "PullRequestEvent opened", "DiscussionEvent")
TARGETS_OPENER = ("IssueCommentEvent", "PullRequestReviewEvent", "PullRequestReviewCommentEvent")
ABOUT_PULLS = ("PullRequestReviewEvent", "PullRequestReviewCommentEvent", "PullRequestEvent merged")
TARGET_COLUMNS = {"PullRequestEvent merged": "opener", "FollowEvent": "followed"}
GISTS = ("GistEvent create", "GistEvent update")
KINDS = {
    "like": ("WatchEvent", "PullRequestEvent merged"),
    "repost": ("ForkEvent",),
    "follow": ("FollowEvent",),
    "reply": (*OPENS_THREAD, *TARGETS_OPENER, "CommitCommentEvent"),
    "post": ("PushEvent", "ReleaseEvent", "CreateEvent", "GollumEvent", "PublicEvent", *GISTS, "DownloadEvent"),
}
VERBS = {kind: verb for verb, kinds in KINDS.items() for kind in kinds}
COMMENTS = ("IssueCommentEvent", "PullRequestReviewCommentEvent", "CommitCommentEvent")
RECORD_FIELDS = {"id": "id", "type": "kind", "created_at": "created_at", "actor": "actor", "repo": "repo"}
KEY = ("key", "kind", "time")
MAX_KIND_CHARS = 60


def import_gharchive(path: Path, out: Path, progress: Progress = ignore_progress) -> ImportReport:
    """Import an hour of GH Archive, as downloaded or unpacked, or a folder of hours, as in `JsonLinesSource.ingest`."""
    source = JsonLinesSource(ENDINGS, EXPECTED, MEMBERS, ("type", "created_at"), _select_events, _raw_events)
    return source.ingest(path, out, progress)


def _select_events(members: ir.Table) -> ir.Table:
    """Select what the events need from the members of a file, equal for all formats."""
    unified = _unify_formats(members)
    rows = unified.mutate(kind=_kind(unified))
    return rows.select(
        *("row", "reason", "id", "created_at", "time", "kind", "actor", "owner", "repo", "thread", "followed"),
        opener=rows.kind.isin(TARGETS_OPENER).ifelse(ibis.coalesce(rows.issue_user, rows.pull_user), rows.pull_user),
        piece=_object(rows),
        new=_new_piece(rows),
        record=rows.reason.notnull().ifelse(rows.record, ibis.null("string")),
    )


def _raw_events(events: ir.Table, names: tuple[str, ...]) -> ir.Table:
    """Map the events of all files to rows for `ingest`: columns of SCHEMA, row, record and reason."""
    targeted = _with_verb_and_target(_with_openers(events))
    rows = reject_duplicates(targeted.mutate(key=_key(targeted)), KEY)
    post = rows.verb == "post"
    return rows.select(
        *("time", "actor", "verb", "row"),
        target=post.ifelse(ibis.null("string"), rows.target),
        object=post.ifelse(rows.new, rows.piece),
        result=(rows.verb == "reply").ifelse(rows.new, ibis.null("string")),
        network=ibis.literal("github"),
        record=build_record(rows, RECORD_FIELDS, names),
        reason=ibis.coalesce(rows.reason, _unmapped_reason(rows)),
    )


def _key(events: ir.Table) -> ir.StringValue:
    """Return the id of an event, or its file and row where there is no id."""
    return ibis.coalesce(events.id, events.file.cast("string") + " " + events.row.cast("string"))


def _with_openers(events: ir.Table) -> ir.Table:
    """Look up who opened each pull request where its events do not say it."""
    opens = events.kind == "PullRequestEvent opened"
    claims = events.select(
        thread=events.thread.lower(), opened_by=opens.ifelse(events.actor, ibis.null("string")), stated=events.opener
    )
    claims = claims.filter(claims.thread.notnull(), claims.opened_by.notnull() | claims.stated.notnull())
    openers = claims.group_by(pull=claims.thread).aggregate(
        known_opener=ibis.coalesce(claims.opened_by.min(), claims.stated.min())
    )
    absent = events.kind.isin(ABOUT_PULLS) & events.opener.isnull()
    rows = events.mutate(pull=absent.ifelse(events.thread.lower(), ibis.null("string")))
    joined = rows.left_join(openers, "pull")
    return joined.select(*events.drop("opener").columns, opener=ibis.coalesce(joined.opener, joined.known_opener))


def _unify_formats(members: ir.Table) -> ir.Table:
    """Unify the formats before and after 2015: `actor`, `owner`, `repo`, `thread` and `time`."""
    old_actor = members.old_actor.startswith("{").ifelse(ibis.null("string"), members.old_actor)
    repo = ibis.coalesce(members.repo_name, members.old_owner + "/" + members.old_name)
    number = ibis.coalesce(members.issue_number, members.pull_number, members.discussion_number, members.number)
    in_url = members.url.re_extract("/(?:issues|pull)/([0-9]+)", 1).nullif("")
    return members.mutate(
        id=read_id(members.id),
        actor=ibis.coalesce(members.login, members.old_login, old_actor).nullif(""),
        owner=repo.re_extract("^([^/]+)/", 1).nullif(""),
        repo=repo.nullif("/"),
        thread=repo + "#" + ibis.coalesce(number, in_url),
        time=read_time(members.created_at.replace("/", "-")),
    )


def _kind(rows: ir.Table) -> ir.StringValue:
    """Return the type of an event, with its action if that is not the default; older files report merges as closed."""
    merged = (rows.type == "PullRequestEvent") & (rows.action == "closed") & (rows.merged == "true")
    action = merged.fill_null(False).ifelse("merged", rows.action)
    return rows.type + action.isin(DEFAULT_ACTIONS).fill_null(True).ifelse("", ibis.literal(" ") + action)


def _with_verb_and_target(rows: ir.Table) -> ir.Table:
    """Add the `verb` of each event, and its `target`: the first candidate who is not the actor."""
    opener = rows.kind.isin(TARGETS_OPENER).ifelse(rows.opener, ibis.null("string"))
    named_target = rows.kind.cases(*((kind, rows[column]) for kind, column in TARGET_COLUMNS.items()))
    unknown = rows.kind.isin(ABOUT_PULLS) & rows.opener.isnull()
    owner = (unknown | rows.kind.isin(tuple(TARGET_COLUMNS))).ifelse(ibis.null("string"), rows.owner)
    target = ibis.coalesce(*(_unless_actor(rows, user) for user in (opener, named_target, owner)))
    verb = rows.kind.cases(*VERBS.items())
    own_thread = (verb == "reply") & target.isnull() & ~unknown
    return rows.mutate(verb=own_thread.ifelse("post", verb), target=target)


def _unless_actor(rows: ir.Table, user: ir.StringValue) -> ir.StringValue:
    """Return the user, null for the actor; logins are case-insensitive."""
    return (user.lower() == rows.actor.lower()).fill_null(False).ifelse(ibis.null("string"), user)


def _object(rows: ir.Table) -> ir.StringValue:
    """Return the object of an event on another user."""
    commit = rows.repo + "@" + ibis.coalesce(rows.commit_id, rows.old_commit)
    thread = rows.kind.isin((*TARGETS_OPENER, "PullRequestEvent merged"))
    return ibis.cases(
        (rows.kind == "FollowEvent", ibis.null("string")),
        (rows.kind == "CommitCommentEvent", commit),
        (thread, rows.thread),
        else_=rows.repo,
    )


def _new_piece(rows: ir.Table) -> ir.StringValue:
    """Return the piece that an event creates."""
    comment = ibis.coalesce(rows.comment_id, rows.old_comment_id)
    branch = (rows.ref_type == "repository").fill_null(False).ifelse(ibis.null("string"), rows.ref)
    versions = {"PushEvent": rows.sha, "ReleaseEvent": rows.tag, "CreateEvent": branch}
    return rows.kind.cases(
        *((kind, rows.thread) for kind in OPENS_THREAD),
        *((kind, _numbered(kind.removesuffix("Event"), comment)) for kind in COMMENTS),
        ("PullRequestReviewEvent", _numbered("PullRequestReview", rows.review_id)),
        *((kind, rows.repo + (ibis.literal("@") + version).fill_null("")) for kind, version in versions.items()),
        ("GollumEvent", rows.repo + "/wiki/" + rows.page),
        ("PublicEvent", rows.repo),
        *((kind, _numbered("Gist", rows.gist)) for kind in GISTS),
        ("DownloadEvent", rows.repo + "/downloads/" + rows.download),
    )


def _numbered(kind: str, number: ir.StringValue) -> ir.StringValue:
    return ibis.literal(f"{kind}:") + number


def _unmapped_reason(rows: ir.Table) -> ir.StringValue:
    """Return why an event does not map to the event table."""
    no_target = rows.verb.isin(("like", "repost", "follow")) & rows.target.isnull()
    return ibis.cases(
        (rows.kind.isnull(), "type missing"),
        (rows.verb.isnull(), rows.kind.substr(0, MAX_KIND_CHARS) + " does not map to an event"),
        (no_target, rows.kind + " has no known target other than the actor"),
    )
