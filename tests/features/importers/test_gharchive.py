import gzip
import json
from datetime import UTC, datetime
from itertools import count

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import EventsError
from features.importers.gharchive import import_gharchive

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
NUMBERS = count(30_000_000_001)
HELLO = "octo/hello"


def event(kind, actor="ann", repo=HELLO, **payload):
    """Return an event in the format since 2015."""
    return {
        "id": str(next(NUMBERS)),
        "type": kind,
        "actor": {"id": 7, "login": actor, "display_login": actor, "url": f"https://api.github.com/users/{actor}"},
        "repo": {"id": 9, "name": repo, "url": f"https://api.github.com/repos/{repo}"},
        "payload": payload,
        "public": True,
        "created_at": "2024-01-01T12:00:00Z",
    }


def timeline(kind, actor="ann", **fields):
    """Return an event in the format until 2014."""
    return {
        "created_at": "2013-05-01T04:00:00-08:00",
        "payload": {},
        "public": True,
        "type": kind,
        "url": "https://github.com/octo/hello",
        "actor": actor,
        "actor_attributes": {"login": actor, "type": "User"},
        "repository": {"id": 9, "name": "hello", "owner": "octo", "stargazers": 99},
        **fields,
    }


def issue(opener="bob", number=7):
    return {"number": number, "user": {"login": opener}, "comments": 99, "body": "SECRET"}


def pull(opener="bob", **fields):
    return {"number": 8, "user": {"login": opener}, "merged": False, "body": "SECRET", **fields}


def remark(number):
    return {"id": number, "user": {"login": "ann"}, "body": "SECRET"}


@pytest.fixture
def import_lines(tmp_path):
    """Return a function that writes an hour, imports it, and returns the report with the events."""

    def run(*lines, name="2024-01-01-12.json.gz"):
        folder = tmp_path / "in"
        folder.mkdir(exist_ok=True)
        write(folder / name, *lines)
        report = import_gharchive(folder, tmp_path / "out" / "events.parquet")
        return report, pq.read_table(report.out).to_pylist()

    return run


def write(file, *lines):
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines).encode()
    file.write_bytes(gzip.compress(text) if file.suffix == ".gz" else text)


def event_tuples(events):
    fields = ("actor", "verb", "target", "object", "result")
    return sorted((tuple(row[name] for name in fields) for row in events), key=str)


# Events by ann in octo's repository, and the expected result.
OF_ANN = [
    (event("WatchEvent", action="started"), ("like", "octo", HELLO, None)),
    (event("ForkEvent", forkee={"full_name": "ann/hello", "forks": 3}), ("repost", "octo", HELLO, None)),
    (event("ForkEvent", action="forked"), ("repost", "octo", HELLO, None)),
    (event("IssuesEvent", action="opened", issue=issue("ann")), ("reply", "octo", HELLO, "octo/hello#7")),
    (
        event("IssueCommentEvent", action="created", issue=issue(), comment=remark(11)),
        ("reply", "bob", "octo/hello#7", "IssueComment:11"),
    ),
    (
        event("IssueCommentEvent", action="created", issue=issue("ann"), comment=remark(12)),
        ("reply", "octo", "octo/hello#7", "IssueComment:12"),
    ),
    (
        event("IssueCommentEvent", action="created", issue=issue(None), comment=remark(13)),
        ("reply", "octo", "octo/hello#7", "IssueComment:13"),
    ),
    (
        event("PullRequestEvent", action="opened", number=8, pull_request=pull("ann")),
        ("reply", "octo", HELLO, "octo/hello#8"),
    ),
    (
        event("PullRequestEvent", action="closed", number=8, pull_request=pull(merged=True)),
        ("like", "bob", "octo/hello#8", None),
    ),
    (event("PullRequestEvent", action="merged", number=8, pull_request=pull()), ("like", "bob", "octo/hello#8", None)),
    (
        event("PullRequestReviewEvent", action="created", review={"id": 14, "state": "approved"}, pull_request=pull()),
        ("reply", "bob", "octo/hello#8", "PullRequestReview:14"),
    ),
    (
        event("PullRequestReviewEvent", action="created", review={"id": 15}, pull_request={"number": 9}),
        ("reply", None, "octo/hello#9", "PullRequestReview:15"),
    ),
    (
        event("PullRequestReviewCommentEvent", action="created", comment=remark(16), pull_request=pull()),
        ("reply", "bob", "octo/hello#8", "PullRequestReviewComment:16"),
    ),
    (
        event("CommitCommentEvent", comment={**remark(17), "commit_id": "c0ffee"}),
        ("reply", "octo", "octo/hello@c0ffee", "CommitComment:17"),
    ),
    (
        event("DiscussionEvent", action="created", discussion={"number": 5, "user": {"login": "ann"}}),
        ("reply", "octo", HELLO, "octo/hello#5"),
    ),
    (
        event("PushEvent", head="c0ffee", ref="refs/heads/main", size=2, commits=[{"message": "SECRET"}]),
        ("post", None, "octo/hello@c0ffee", None),
    ),
    (event("ReleaseEvent", action="published", release={"tag_name": "v1"}), ("post", None, "octo/hello@v1", None)),
    (event("CreateEvent", ref_type="repository", ref=None, master_branch="main"), ("post", None, HELLO, None)),
    (event("CreateEvent", ref_type="branch", ref="fix"), ("post", None, "octo/hello@fix", None)),
    (event("GollumEvent", pages=[{"page_name": "Home"}, {}]), ("post", None, "octo/hello/wiki/Home", None)),
    (event("PublicEvent"), ("post", None, HELLO, None)),
]

# Events by octo in octo's own repository.
OF_OCTO = [
    (event("IssuesEvent", "octo", action="opened", issue=issue("octo")), ("post", None, "octo/hello#7", None)),
    (
        event("IssueCommentEvent", "octo", action="created", issue=issue(), comment=remark(21)),
        ("reply", "bob", "octo/hello#7", "IssueComment:21"),
    ),
    (
        event("IssueCommentEvent", "Octo", action="created", issue=issue("octo"), comment=remark(22)),
        ("post", None, "IssueComment:22", None),
    ),
    (
        event("PullRequestEvent", "octo", action="opened", number=8, pull_request=pull("octo")),
        ("post", None, "octo/hello#8", None),
    ),
    (
        event("CommitCommentEvent", "octo", action="created", comment={**remark(23), "commit_id": "c0ffee"}),
        ("post", None, "CommitComment:23", None),
    ),
    (event("PushEvent", "octo", head="beef"), ("post", None, "octo/hello@beef", None)),
]

# Events by ann before 2015.
OLD = [
    (timeline("WatchEvent", payload={"action": "started"}), ("like", "octo", HELLO, None)),
    (timeline("WatchEvent", actor_attributes=None), ("like", "octo", HELLO, None)),
    (timeline("ForkEvent", payload={"forkee": 1}), ("repost", "octo", HELLO, None)),
    (
        timeline("FollowEvent", payload={"target": {"login": "bob", "followers": 99}}, repository=None),
        ("follow", "bob", None, None),
    ),
    (
        timeline("IssuesEvent", payload={"action": "opened", "issue": 123, "number": 3}),
        ("reply", "octo", HELLO, "octo/hello#3"),
    ),
    (
        timeline(
            "IssueCommentEvent",
            payload={"issue_id": 123, "comment_id": 31},
            url="https://github.com/octo/hello/issues/3#issuecomment-31",
        ),
        ("reply", "octo", "octo/hello#3", "IssueComment:31"),
    ),
    (
        timeline("CommitCommentEvent", payload={"commit": "c0ffee", "comment_id": 32}),
        ("reply", "octo", "octo/hello@c0ffee", "CommitComment:32"),
    ),
    (timeline("PushEvent", payload={"head": "c0ffee", "size": 1}), ("post", None, "octo/hello@c0ffee", None)),
    (
        timeline("GistEvent", payload={"action": "create", "id": 5, "url": "x"}, repository=None),
        ("post", None, "Gist:5", None),
    ),
    (timeline("GistEvent", payload={"action": "update", "id": 5}, repository=None), ("post", None, "Gist:5", None)),
    (
        timeline("DownloadEvent", payload={"download": {"name": "a.zip"}}),
        ("post", None, "octo/hello/downloads/a.zip", None),
    ),
]

# Events that are not mapped, and their kind in the report.
OTHER = [
    (event("IssuesEvent", action="closed", issue=issue()), "IssuesEvent closed"),
    (event("IssuesEvent", action="labeled", issue=issue()), "IssuesEvent labeled"),
    (event("IssueCommentEvent", action="edited", issue=issue(), comment=remark(41)), "IssueCommentEvent edited"),
    (event("PullRequestEvent", action="closed", pull_request=pull()), "PullRequestEvent closed"),
    (event("PullRequestReviewEvent", action="dismissed", pull_request=pull()), "PullRequestReviewEvent dismissed"),
    (event("DeleteEvent", ref="fix", ref_type="branch"), "DeleteEvent"),
    (event("MemberEvent", action="added", member={"login": "bob"}), "MemberEvent added"),
    (event("TeamAddEvent", team={"name": "x"}), "TeamAddEvent"),
    (event("SponsorshipEvent", action="created"), "SponsorshipEvent"),
    (timeline("GistEvent", payload={"action": "fork", "id": 5}), "GistEvent fork"),
    (timeline("ForkApplyEvent", payload={"head": "x"}), "ForkApplyEvent"),
    (event("N" * 100), "N" * 60),
]

# Events towards oneself or an unknown user.
ALONE = [
    (event("WatchEvent", "OCTO", action="started"), "WatchEvent"),
    (event("WatchEvent", repo="/", action="started"), "WatchEvent"),
    (event("WatchEvent", repo="hello", action="started"), "WatchEvent"),
    (event("WatchEvent", repo=None, action="started"), "WatchEvent"),
    (event("ForkEvent", "octo"), "ForkEvent"),
    (event("PullRequestEvent", action="closed", pull_request=pull("ann", merged=True)), "PullRequestEvent merged"),
    (event("PullRequestEvent", action="merged", pull_request={"number": 8}), "PullRequestEvent merged"),
    (timeline("FollowEvent", payload={"target": 17}), "FollowEvent"),
]


@pytest.mark.parametrize(("cases", "actors"), [(OF_ANN, {"ann"}), (OF_OCTO, {"octo", "Octo"}), (OLD, {"ann"})])
def test_kinds_map_to_events(import_lines, cases, actors):
    report, events = import_lines(*(line for line, _ in cases))
    assert event_tuples([{**row, "actor": "?"} for row in events]) == sorted((("?", *act) for _, act in cases), key=str)
    assert {row["actor"] for row in events} == actors
    assert {row["network"] for row in events} == {"github"}
    assert (report.read, report.accepted, report.rejects, report.notes) == (len(cases), len(cases), None, ())


def test_authors_of_pull_requests_are_looked_up_in_the_files(import_lines):
    new = {"number": 8}
    review = event("PullRequestReviewEvent", action="created", review={"id": 1}, pull_request=new)
    comment = event("PullRequestReviewCommentEvent", "cid", action="created", comment=remark(2), pull_request=new)
    merge = event("PullRequestEvent", "octo", "Octo/Hello", action="merged", number=8, pull_request=new)
    own = event("PullRequestReviewEvent", "bob", action="created", review={"id": 3}, pull_request=new)
    import_lines(event("PullRequestEvent", "bob", action="opened", number=8, pull_request=new), name="10.json")
    _, events = import_lines(review, comment, merge, own, name="09.json")
    assert {(row["actor"], row["verb"], row["target"]) for row in events} == {
        ("bob", "reply", "octo"),
        ("ann", "reply", "bob"),
        ("cid", "reply", "bob"),
        ("octo", "like", "bob"),
    }


def test_a_comment_names_the_author_of_a_pull_request(import_lines):
    merge = event("PullRequestEvent", "octo", action="merged", number=7, pull_request={"number": 7})
    talk = event("IssueCommentEvent", action="created", issue=issue("bob"), comment=remark(1))
    _, events = import_lines(merge, talk)
    assert {(row["actor"], row["target"]) for row in events} == {("octo", "bob"), ("ann", "bob")}


def test_other_kinds_are_rejected_with_their_name(import_lines):
    cases = {f"{kind} does not map to an event": line for line, kind in OTHER}
    report, events = import_lines(*cases.values(), OF_ANN[0][0])
    assert report.reasons == dict.fromkeys(cases, 1)
    assert (report.read, report.accepted) == (len(OTHER) + 1, 1)
    assert event_tuples(events) == [("ann", *OF_ANN[0][1])]


def test_events_without_another_user_are_rejected(import_lines):
    report, _ = import_lines(*(line for line, _ in ALONE), OF_ANN[0][0])
    kinds = [kind for _, kind in ALONE]
    assert report.reasons == {f"{kind} has no known target other than the actor": kinds.count(kind) for kind in kinds}
    assert report.read == len(ALONE) + 1 == report.accepted + report.rejected


def test_malformed_lines_are_counted(import_lines):
    good = OF_ANN[0][0]
    nobody = {**event("PushEvent"), "actor": None}
    odd = ["{broken", "[1]", "", {"id": "1"}, {**event("WatchEvent"), "created_at": "soon"}, nobody]
    report, events = import_lines(*odd, good)
    assert report.reasons == {
        "malformed line: not a JSON object": 2,
        "type missing": 1,
        "time missing or unreadable": 1,
        "neither actor nor target known": 1,
    }
    assert (report.read, report.accepted, len(events)) == (6, 1, 1)
    rejects = report.rejects.read_text(encoding="utf-8")
    assert "1,malformed line: not a JSON object,7 characters" in rejects
    assert '5,time missing or unreadable,"{""id"":' in rejects
    assert '""type"":""WatchEvent"",""created_at"":""soon"",""actor"":""ann"",""repo"":""octo/hello""}"' in rejects


def test_no_text_is_stored(import_lines):
    report, events = import_lines(*(line for line, _ in OF_ANN), *(line for line, _ in OTHER))
    assert "SECRET" not in report.rejects.read_text() + str(events)


def test_times(import_lines):
    old = timeline("WatchEvent")
    oldest = timeline("WatchEvent", created_at="2012/03/10 22:55:13 -0800")
    _, events = import_lines(OF_ANN[0][0], old, oldest)
    assert [row["time"] for row in events] == [
        datetime(2012, 3, 11, 6, 55, 13, tzinfo=UTC),
        datetime(2013, 5, 1, 12, tzinfo=UTC),
        NOON,
    ]


def test_the_same_id_counts_once(import_lines, tmp_path):
    star, push, old = OF_ANN[0][0], event("PushEvent", head="a"), timeline("WatchEvent")
    import_lines(star, push, old, star, old, name="2024-01-01-11.json.gz")
    report, events = import_lines(star, "{", push, event("PushEvent", head="b"), name="2024-01-01-12.json.gz")
    assert (report.read, report.accepted) == (9, 5)
    assert report.reasons == {"the same event again": 3, "malformed line: not a JSON object": 1}
    assert [row["verb"] for row in events] == ["like", "like", "like", "post", "post"]
    rejects = report.rejects.read_text()
    assert f'4,the same event again,"2024-01-01-11.json.gz {{""id"":""{star["id"]}""' in rejects
    assert f'1,the same event again,"2024-01-01-12.json.gz {{""id"":""{star["id"]}""' in rejects
    assert "2,malformed line: not a JSON object,2024-01-01-12.json.gz 1 characters" in rejects


@pytest.mark.parametrize("name", ["2012-05-01-4.json", "2012-05-01-4.json.gz"])
def test_objects_without_line_ends_are_split(import_lines, name):
    stars = [timeline("WatchEvent", f"u{number}", note='}{"SECRET') for number in range(5)]
    joined = "".join(map(json.dumps, stars[:3])) + " {broken}" + json.dumps(stars[3])
    report, events = import_lines(joined, stars[4], name=name)
    assert report.reasons == {"malformed line: not a JSON object": 1}
    assert [row["actor"] for row in events] == [f"u{number}" for number in range(5)]
    assert "SECRET" not in report.rejects.read_text()


def test_an_hour_on_one_line_is_read(import_lines):
    hour = "".join(json.dumps(timeline("WatchEvent", f"u{number}", note="x" * 300)) for number in range(5_000))
    report, _ = import_lines(hour, name="2011-05-01-4.json")
    assert (report.read, report.accepted) == (5_000, 5_000)


def test_ids_of_two_sequences_are_different_events(import_lines):
    push, star = event("PushEvent", head="a"), event("WatchEvent", "bob", action="started")
    star |= {"id": push["id"]}
    later = {**star, "created_at": "2025-01-01T12:00:00Z"}
    report, _ = import_lines(push, star, later, star)
    assert (report.accepted, report.reasons) == (3, {"the same event again": 1})


def test_all_compressions_give_the_same_events(tmp_path):
    lines = [line for line, _ in (*OF_ANN, *OTHER)]
    write(tmp_path / "1.json.gz", *lines)
    write(tmp_path / "2.json", *lines)
    packed = pa.compress((tmp_path / "2.json").read_bytes(), "zstd", asbytes=True)
    (tmp_path / "3.json.zst").write_bytes(packed)
    reports = [import_gharchive(file, tmp_path / f"{file.name}.parquet") for file in sorted(tmp_path.iterdir())]
    assert len(reports) == 3
    assert len({report.out.read_bytes() for report in reports}) == 1
    assert len({report.rejects.read_bytes() for report in reports}) == 1


def test_many_hours_with_progress(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for hour in range(24):
        write(folder / f"2024-01-01-{hour}.json.gz", event("WatchEvent", f"u{hour}", action="started"))
    (folder / "README.txt").write_text("read me")
    shares = []
    report = import_gharchive(folder, tmp_path / "events", shares.append)
    assert (report.read, report.accepted) == (24, 24)
    assert shares == sorted(shares)
    assert len(shares) == 24
    assert shares[-1] == 1.0
    assert report.notes == (f"skipped README.txt in {folder}",)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["events", "in"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.json.gz", gzip.compress(b"{}\n" * 99_999)[:-9], r"x\.json\.gz cannot be read: .*Is the download complete"),
        ("x.json.gz", b"<html>Not found</html>", r"x\.json\.gz cannot be read"),
        ("x.json", b'{"a": 1}\n', r"x\.json: none of its 1 lines has type or created_at; expected hours of GH Archive"),
        ("x.json", b'{"type": "x", "time": 1}\n', r"none of its 1 lines has created_at; expected hours of GH Archive"),
        ("x.json", b'[{"type": "WatchEvent"}]\n', "is a JSON array; expected one object per line"),
        ("x.json", b'{"type": "\xff"}\n', "not in UTF-8 at line 1"),
        ("x.json", b"", r"x\.json has no rows"),
        ("x.json", b"broken\n", "none of the 1 rows is an event: 1 x malformed line: not a JSON object"),
        ("x.csv", b"", r"unknown kind; expected hours of GH Archive.*\.json\.gz"),
        ("x.tar.gz", b"", "is an archive; unpack it first"),
    ],
)
def test_invalid_files_are_explained(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(EventsError, match=message):
        import_gharchive(tmp_path / name, tmp_path / "events.parquet")
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_missing_path_is_explained(tmp_path):
    with pytest.raises(EventsError, match="does not exist; expected hours of GH Archive, such as 2024-01-01-0"):
        import_gharchive(tmp_path / "none", tmp_path / "events")
    with pytest.raises(EventsError, match=r"holds nothing; expected hours of GH Archive.*\.json\.gz"):
        import_gharchive(tmp_path, tmp_path / "events")
