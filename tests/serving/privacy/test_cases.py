"""Cases: a contested score with its stored explanation, opened once per contest and resolved once."""

import json
import re
import shutil
import threading
from dataclasses import replace
from datetime import timedelta
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.middleware.api_keys import add_key
from serving.privacy.audit_check_and_reads import reads_about
from serving.privacy.audit_files import audit_files
from serving.privacy.case_comparison import compare_case
from serving.privacy.cases import (
    MAX_OPEN_CASES,
    MAX_TEXT_LENGTH,
    Cases,
    CaseTextError,
    ResolvedCaseError,
    TooManyCasesError,
    UnknownCaseError,
    delete_cases,
)
from serving.scoring import score_rows
from serving.snapshots.repository import open_snapshot, write_snapshot
from training.home import Home
from training.records.database import Records

SAID = "I was not away: the import left out July."
NASTY = [
    "'; DROP TABLE cases; --",
    "<script>alert(1)</script>",
    '{"$ne": null}, "}]',
    "[bold]no markup[/bold]",
    "zwei\nZeilen\tund ein Tab",
    "\u202ebackwards",
    "🙂" * 2000,
    "\\x00 %00 \\u0000",
    "a\r\nb\rc",
]


@pytest.fixture(params=["sqlite", "postgresql"])
def cases(request, tmp_path):
    if request.param == "sqlite":
        yield Cases(Records(Home(tmp_path / "home")))
        return
    records = Records(Home(tmp_path / "home", database=request.getfixturevalue("postgresql").url()))
    yield Cases(records)
    with records.begin() as connection:
        connection.exec_driver_sql("DROP TABLE cases")
    records.engine.dispose()


@pytest.fixture
def explanation(scored_home):
    return open_snapshot(scored_home).explain("user0001")


@pytest.fixture
def client(home, champion):
    return TestClient(create_app(home), raise_server_exceptions=False)


def contest(client, user="user0001", **more):
    answer = client.post(f"/v1/users/{quote(user, safe='')}/cases", json={"message": SAID} | more)
    assert answer.status_code == 201, answer.text
    return answer.json()


# The records


def test_case_is_stored_with_all_fields(cases, explanation):
    case = cases.open(explanation, SAID, "website")
    stored = cases.find(case.case)
    assert stored == case
    assert re.fullmatch(r"[0-9a-f]{16}", stored.case)
    assert (stored.user, stored.scope, stored.as_of, stored.model_version) == (
        "user0001",
        "all",
        "2017-07-30T00:00:00Z",
        "3",
    )
    assert stored.explanation["base"] + sum(line["points"] for line in stored.explanation["lines"]) == pytest.approx(
        explanation.unclipped, abs=1e-9
    )
    assert (stored.state, stored.decision, stored.resolved, stored.resolved_by) == ("open", None, None, None)


@pytest.mark.parametrize("text", NASTY)
def test_texts_of_cases_survive_the_database(cases, explanation, text):
    nasty = replace(explanation, user=text, scope=text)
    stored = cases.find(cases.open(nasty, text, "website").case)
    assert stored.message == text.replace("\r\n", "\n").replace("\r", "\n").strip()
    assert (stored.user, stored.scope) == (text, text)
    assert [case.case for case in cases.page("open", text)] == [stored.case]
    assert cases.delete(text) == 1


def test_ids_that_are_not_valid_utf8_survive_the_database(cases, explanation):
    for user in ("\x00", "a\x00b", "\ud800", ""):
        cases.open(replace(explanation, user=user), SAID, "website")
        assert [case.user for case in cases.page(None, user)] == [user]
        assert cases.delete(user) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (" \n\t ", "is empty"),
        ("x" * (MAX_TEXT_LENGTH + 1), "has 4,001 characters, expected 4,000 at most"),
        ("a\x00b", r"contains '\\x00', expected letters"),
        ("a\x1b[2Jb", r"contains '\\x1b'"),
        ("a\ud800b", r"contains '\\ud800'"),
    ],
)
def test_invalid_texts_are_refused(cases, explanation, text, message):
    with pytest.raises(CaseTextError, match=f"the statement of what is wrong {message}"):
        cases.open(explanation, text, "website")
    case = cases.open(explanation, SAID, "website")
    with pytest.raises(CaseTextError, match=f"the text of the reasons {message}"):
        cases.resolve(case.case, "stands", text, "bob")
    assert cases.find(case.case) == case
    with pytest.raises(CaseTextError, match="unknown decision 'upheld'; expected one of stands, corrected"):
        cases.resolve(case.case, "upheld", "So.", "bob")


def test_case_is_resolved_once(cases, explanation):
    case = cases.open(explanation, SAID, "website")
    resolved = cases.resolve(case.case, "corrected", "July was imported again.", "bob")
    assert (resolved.state, resolved.decision, resolved.reasons, resolved.resolved_by) == (
        "resolved",
        "corrected",
        "July was imported again.",
        "bob",
    )
    assert resolved.explanation == case.explanation
    with pytest.raises(ResolvedCaseError, match=r"was already resolved on 20\d\d-\d\d-\d\d, as 'corrected'"):
        cases.resolve(case.case, "stands", "Or not.", "eve")
    assert cases.find(case.case) == resolved


def test_one_of_concurrent_reviewers_resolves(cases, explanation):
    case = cases.open(explanation, SAID, "website")
    start, won, lost = threading.Barrier(6), [], []

    def decide(by):
        start.wait()
        try:
            won.append(cases.resolve(case.case, "stands", f"So says {by}.", by))
        except ResolvedCaseError as error:
            lost.append(str(error))

    threads = [threading.Thread(target=decide, args=(f"reviewer{k}",)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 5)
    assert cases.find(case.case).resolved_by == won[0].resolved_by


@pytest.mark.parametrize("case", ["", "0" * 16, "x" * 16, "0" * 17, "'; --", "\x00", "\ud800", "%"])
def test_unknown_case_is_refused(cases, explanation, case):
    cases.open(explanation, SAID, "website")
    for act in (cases.find, lambda case: cases.resolve(case, "stands", "So.", "bob")):
        with pytest.raises(UnknownCaseError, match="does not exist"):
            act(case)


def test_pages_list_every_case_once_in_opening_order(cases, explanation):
    ids = [cases.open(replace(explanation, user=f"u{k % 3}"), SAID, "website").case for k in range(9)]
    cases.resolve(ids[4], "stands", "So.", "bob")
    listed, after = [], 0
    while page := cases.page("open", after=after, limit=3):
        listed += [case.case for case in page]
        after = page[-1].number
        if len(listed) == 3:
            ids.append(cases.open(explanation, SAID, "website").case)
            assert cases.delete("u0") == 3
    assert listed == [*ids[:3], ids[5], ids[7], ids[8], ids[9]]
    assert [case.case for case in cases.page("resolved")] == [ids[4]]
    assert [case.case for case in cases.page(None, "u1")] == [ids[1], ids[4], ids[7]]


def test_numbers_are_not_reused(cases, explanation):
    first = cases.open(explanation, SAID, "website").number
    assert cases.delete("user0001") == 1
    assert cases.open(explanation, SAID, "website").number > first


def test_user_can_have_ten_open_cases(cases, explanation):
    ids = [cases.open(explanation, SAID, "website").case for _ in range(MAX_OPEN_CASES)]
    with pytest.raises(TooManyCasesError, match="10 cases of 'user0001' are already open: wait"):
        cases.open(explanation, SAID, "website")
    cases.open(replace(explanation, user="another"), SAID, "website")
    cases.resolve(ids[0], "withdrawn", "Taken back.", "bob")
    cases.open(explanation, SAID, "website")


def test_deletion_removes_all_cases_of_one_user(tmp_path, explanation):
    home = Home(tmp_path / "home")
    assert delete_cases(home, "user0001") == 0
    assert not home.folder.exists()
    cases = Cases(Records(home))
    own_cases = [cases.open(explanation, "a very telling text", "website").case for _ in range(2)]
    cases.resolve(own_cases[0], "stands", "So.", "bob")
    other = cases.open(replace(explanation, user="user00011"), SAID, "website")
    assert delete_cases(home, "user0001") == 2
    assert delete_cases(home, "user0001") == 0
    assert cases.page(None) == [other]


# Over HTTP


def test_case_goes_from_contest_to_outcome(client):
    case = contest(client)
    assert set(case) == {"case", "user", "scope", "as_of", "model_version", "state", "opened"}
    path = f"/v1/users/user0001/cases/{case['case']}"
    waiting = client.get(path).json()
    assert (waiting["state"], waiting["message"], waiting["decision"]) == ("open", SAID, None)
    (listed,) = client.get("/v1/cases").json()["cases"]
    assert (listed["case"], listed["user"], listed["opened_by"]) == (case["case"], "user0001", "anybody")
    file = client.get(f"/v1/cases/{case['case']}").json()
    assert file["explanation"] == client.get("/v1/users/user0001/explanation").json() == file["today"]["now"]
    assert (file["today"]["same_snapshot"], file["today"]["moved"], file["others"]) == (True, 0, [])
    decided = {"decision": "stands", "reasons": "July is in it."}
    answer = client.post(f"/v1/cases/{case['case']}/resolution", json=decided)
    assert (answer.status_code, answer.json()["resolved_by"]) == (200, "anybody")
    assert client.get("/v1/cases").json()["cases"] == []
    assert len(client.get("/v1/cases?state=resolved").json()["cases"]) == 1
    outcome = client.get(path).json()
    assert (outcome["decision"], outcome["reasons"]) == ("stands", "July is in it.")
    assert "resolved_by" not in outcome
    again = client.post(f"/v1/cases/{case['case']}/resolution", json=decided)
    assert (again.status_code, again.json()["type"]) == (409, "urn:clout:problem:resolved-case")


def test_a_case_is_corrected_only_after_its_score_was_computed_again(clout, client, home, bundle, rows):
    case, at = contest(client)["case"], open_snapshot(home).as_of
    message = (
        f"case {case!r} cannot be resolved as 'corrected' yet: the score as of 2017-07-30T00:00:00Z is served as it "
        "was contested. Score again with the corrected events first ('clout score EVENTS'), or choose another decision."
    )
    body = {"decision": "corrected", "reasons": "July was imported again."}
    answer = client.post(f"/v1/cases/{case}/resolution", json=body)
    assert (answer.status_code, answer.json()["detail"]) == (422, message)
    words = ["resolve", case, "--decision", "corrected", "--reason", "July was imported again."]
    run = clout(home, *words)
    assert (run.returncode, run.stderr.splitlines()[-1]) == (2, f"error: {message}")
    assert clout(home, "cases", "--json").stdout.count(case) == 1
    corrected = rows.copy()
    corrected.loc[corrected["user"] == "user0001", "responder_rate_365d"] *= 50
    write_snapshot(home, at, bundle, "3", score_rows(bundle, "3", corrected), corrected)  # of the same instant
    assert clout(home, *words).returncode == 0
    again = client.post(f"/v1/cases/{case}/resolution", json=body)
    assert (again.status_code, again.json()["type"]) == (409, "urn:clout:problem:resolved-case")


def test_case_file_compares_stored_and_present_explanation(client, home, bundle, rows):
    case = contest(client)
    then = client.get(f"/v1/cases/{case['case']}").json()["explanation"]
    later = rows.copy()
    later.loc[later["user"] == "user0001", "responder_rate_365d"] *= 50
    at = open_snapshot(home).as_of + timedelta(days=28)
    write_snapshot(home, at, bundle, "5", score_rows(bundle, "5", later), later)
    client.app.state.watcher.look()
    file = client.get(f"/v1/cases/{case['case']}").json()
    assert file["explanation"] == then
    today = file["today"]
    assert (today["now"]["model_version"], today["same_snapshot"], today["same_model"]) == ("5", False, False)
    assert today["moved"] == pytest.approx(today["now"]["score"] - then["score"])
    assert today["moved"] > 1
    moved = sum(pair["moved"] for pair in today["lines"])
    assert moved == pytest.approx(today["now"]["unclipped"] - then["unclipped"], abs=1e-6)
    assert [abs(pair["moved"]) for pair in today["lines"]] == sorted(
        (abs(pair["moved"]) for pair in today["lines"]), reverse=True
    )
    shutil.rmtree(home.snapshots)
    client.app.state.watcher.look()
    assert client.get(f"/v1/cases/{case['case']}").json()["explanation"] == then


def test_case_of_unscored_user_has_no_comparison(home, explanation):
    cases = Cases(Records(home))
    gone = cases.open(replace(explanation, user="gone"), SAID, "website")
    comparison = compare_case(gone, lambda: open_snapshot(home))
    assert (comparison.now, comparison.moved, comparison.lines) == (None, None, ())
    assert "'gone' is none of the 309 users" in comparison.absent


def test_older_snapshot_and_scope_can_be_contested(client, home, bundle, scores, rows):
    older = open_snapshot(home).as_of - timedelta(days=28)
    write_snapshot(home, older, bundle, "2", scores.assign(model_version="2"), rows)
    case = contest(client, scope="topic:birds", as_of="2017-07-02")
    assert (case["scope"], case["as_of"], case["model_version"]) == (
        "topic:birds",
        "2017-07-02T00:00:00Z",
        "2",
    )


@pytest.mark.parametrize("user", ["a/b", "ünï/çødé 🙂", "..x", "'; --", "50%"])
def test_ids_are_opaque(client, home, user):
    if user not in [score["user"] for score in client.post("/v1/scores", json={"users": [user]}).json()["users"]]:
        assert client.post(f"/v1/users/{quote(user, safe='')}/cases", json={"message": SAID}).status_code == 404
        return
    case = contest(client, user)
    assert client.get(f"/v1/users/{quote(user, safe='')}/cases/{case['case']}").json()["user"] == user
    assert client.get("/v1/cases", params={"user": user}).json()["cases"][0]["user"] == user
    content = b"".join(file.read_bytes() for file in audit_files(home))
    assert user.encode() not in content
    assert json.dumps(user)[1:-1].encode() not in content


def test_unreadable_body_is_refused(client):
    for path in ("/v1/users/user0001/cases", "/v1/scores"):
        answer = client.post(path, content="[", headers={"content-type": "application/json"})
        assert answer.status_code == 422
        assert answer.json()["detail"] == "body: not valid JSON: EOF while parsing a list at line 1 column 1."


def test_case_of_another_user_is_unknown(client):
    case = contest(client)
    answer = client.get(f"/v1/users/user0002/cases/{case['case']}")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:clout:problem:unknown-case")
    assert SAID not in answer.text


def test_read_key_opens_and_review_key_resolves(home, champion):
    keys = {scope: {"Authorization": f"Bearer {add_key(home, scope, scope)}"} for scope in ("read", "review")}
    client = TestClient(create_app(home))
    contested = client.post("/v1/users/user0001/cases", json={"message": SAID}, headers=keys["read"]).json()
    case = f"/v1/cases/{contested['case']}"
    body = {"decision": "stands", "reasons": "So."}
    assert client.get(f"/v1/users/user0001{case[3:]}", headers=keys["read"]).status_code == 200
    for refused in (
        client.get("/v1/cases", headers=keys["read"]),
        client.get(case, headers=keys["read"]),
        client.post(f"{case}/resolution", json=body, headers=keys["read"]),
    ):
        assert refused.status_code == 403
    assert client.get(case, headers=keys["review"]).json()["case"]["opened_by"] == "read"
    assert client.post(f"{case}/resolution", json=body, headers=keys["review"]).json()["resolved_by"] == "review"
    reads = reads_about(home, "user0001").reads
    assert [(read.name, read.method, read.status) for read in reads if read.method == "POST"] == [
        ("review", "POST", 200),
        ("read", "POST", 201),
    ]
    assert [read.users for read in reads_about(home).reads if read.status == 403] == [0, 0, 0]


def test_pages_continue_by_cursor(client):
    ids = [contest(client, f"user{k:04}")["case"] for k in range(5)]
    listed, cursor = [], {}
    while cursor is not None:
        page = client.get("/v1/cases", params={"limit": 2} | cursor).json()
        listed += [case["case"] for case in page["cases"]]
        cursor = page["next_cursor"] and {"cursor": page["next_cursor"]}
    assert listed == ids


@pytest.mark.parametrize(
    "cursor", ["after-0", "after-1e9", "after--1", "after-" + "9" * 30, "1", "after-1;", "after-1\n"]
)
def test_damaged_cursor_is_refused(client, cursor):
    answer = client.get("/v1/cases", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:clout:problem:unfit-cursor")


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"message": ""},
        {"message": "\x00"},
        {"message": "x" * 4001},
        {"message": 1},
        {"message": SAID, "more": 1},
        {"message": SAID, "as_of": "soon"},
        {"message": SAID, "scope": "\ud800"},
    ],
)
def test_invalid_body_opens_no_case(client, body):
    answer = client.post(
        "/v1/users/user0001/cases", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert client.get("/v1/cases").json()["cases"] == []


def test_eleventh_open_case_is_refused(client):
    for _ in range(MAX_OPEN_CASES):
        contest(client)
    answer = client.post("/v1/users/user0001/cases", json={"message": SAID})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:clout:problem:too-many-cases")


def test_damaged_records_are_reported(client, home):
    home.records.write_bytes(b"no database" * 100)
    for answer in (
        client.post("/v1/users/user0001/cases", json={"message": SAID}),
        client.get("/v1/cases"),
        client.get("/v1/cases/5f3a9c0b71d2e846"),
    ):
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:clout:problem:no-records")
        assert "records.db" in answer.json()["detail"]
    assert client.get("/v1/users/user0001/score").status_code == 200


# On the terminal


@pytest.mark.fast
def test_commands_show_and_resolve_cases(clout, client, home):
    case = contest(client, message="<b>[red]July[/red]</b>\nis missing")["case"]
    listed = clout(home, "cases")
    assert re.search(rf"{case} +user0001 .*\[red\]July\[/red\]</b> is missing +open", listed.stdout)
    assert json.loads(clout(home, "cases", "--json").stdout)[0]["case"] == case
    shown = clout(home, "case", case)
    assert shown.returncode == 0, shown.stderr
    assert "<b>[red]July[/red]</b>\n  - is missing" in shown.stdout
    assert re.search(r"Score +\d+\.\d\d +\d+\.\d\d", shown.stdout)
    assert f"clout resolve {case} --decision stands|corrected" in shown.stderr
    assert json.loads(clout(home, "case", case, "--json").stdout)["today"]["same_snapshot"] is True
    done = clout(home, "resolve", case, "--decision", "stands", "--reason", "July is in it.", "--by", "bob")
    assert done.returncode == 0, done.stderr
    assert "resolved by bob: stands" in done.stderr
    again = clout(home, "resolve", case, "--decision", "stands", "--reason", "Really.")
    assert (again.returncode, again.stdout) == (2, "")
    assert "error: case" in again.stderr
    assert "was already resolved" in again.stderr
    assert "July is in it." in clout(home, "case", case).stdout
    assert "There are no open cases" in clout(home, "cases").stdout
    assert reads_about(home, "user0001").reads[0].route == "clout resolve"
    assert reads_about(home, "user0001").reads[0].name == "bob"


def test_a_list_of_cases_says_whether_there_are_more(clout, client, home):
    for user in ("user0001", "user0002"):
        contest(client, user)
    assert "There are more" not in clout(home, "cases", "--top", "2").stdout
    cut = clout(home, "cases", "--top", "1").stdout
    assert "Contested scores: 1\n" in cut
    assert "There are more: --top says how many to list." in cut
    assert len(json.loads(clout(home, "cases", "--top", "1", "--json").stdout)) == 1


def test_commands_report_absent_cases(clout, tmp_path):
    home = Home(tmp_path)
    assert "There are no open cases" in clout(home, "cases").stdout
    failed = clout(home, "case", "x")
    assert (failed.returncode, failed.stdout) == (2, "")
    assert "case 'x' does not exist" in failed.stderr
    assert clout(home, "resolve", "x", "--decision", "stands", "--reason", "y").returncode == 2
    assert clout(home, "resolve", "x", "--decision", "upheld", "--reason", "y").returncode == 2
    assert not list(home.folder.iterdir())
