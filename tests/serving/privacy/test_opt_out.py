"""Opting out: the user is hidden at once, in every route and library call."""

import shutil
import sys
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import quote, urlencode

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from features.catalogue import CATALOGUE
from features.events.loading import load_events
from features.feature_table import KEYS
from serving.app import create_app
from serving.middleware.problem_details import Problem
from serving.review.community_change import community_change
from serving.review.history import history
from serving.review.score_change import change
from serving.scoring import score_rows
from serving.snapshots.query import SearchQuery
from serving.snapshots.ranking import hidden_rows
from serving.snapshots.repository import open_snapshot, write_snapshot
from serving.snapshots.search import search
from tests import preloaded
from training.home import Home
from training.records.database import Records, RecordsError
from training.records.opt_outs import (
    HiddenUserError,
    UserIdError,
    hidden_users,
    list_opt_outs,
    load_opted_out_users,
    opt_in,
    opt_out,
    remove_ids,
)

AS_OF = datetime(2017, 7, 30, tzinfo=UTC)
LATER = AS_OF + timedelta(days=28)
ANN = "user0007"
NASTY = [
    "a/b",
    "'; DROP TABLE left_out; --",
    '"',
    "ünï/çødé 🙂",
    "50%",
    "x/opt-out",
    "..",
    "\\",
    "é",
    "e\u0301",
    "n" * 7000,
]
# Routes about one user or many. Every route must be listed, with its parameters besides the id.
OF_ONE = {
    "/v1/users/{user}/score": "",
    "/v1/users/{user}/explanation": "",
    "/v1/users/{user}/history": "",
    "/v1/users/{user}/change": "",
    "/v1/users/{user}/what-if": "",
}
CONTEST = "/v1/users/{user}/cases"
OF_MANY = {"/v1/users", "/v1/scores", "/v1/selections"}
RIGHTS = {"/v1/users/{user}/opt-out", "/v1/users/{user}"}
OF_NOBODY = {"/v1/model", "/v1/catalogue", "/v1/purposes", "/health", "/ready", "/metrics", "/v1/receipts/{receipt}"}
# Cases of a user and reads about a user remain accessible while the user is hidden, until deletion.
OF_RECORDS = {"/v1/cases", "/v1/cases/{case}", "/v1/cases/{case}/resolution", "/v1/users/{user}/cases/{case}"}
OF_RECORDS |= {"/v1/users/{user}/reads"}


@pytest.fixture
def two_snapshots(home, bundle, rows):
    """A home with two snapshots of the same users, with permuted features."""
    order = np.random.default_rng(1).permutation(len(rows))
    permuted = rows[KEYS].join(rows[CATALOGUE.names].take(order).set_axis(rows.index))
    write_snapshot(home, LATER, bundle, "3", score_rows(bundle, "3", permuted), permuted)
    return home


@pytest.fixture
def client(two_snapshots, champion):
    return TestClient(create_app(two_snapshots), raise_server_exceptions=False)


@pytest.fixture(scope="module")
def documented_paths(tmp_path_factory):
    """The routes of the OpenAPI document, which is the same for every home."""
    return create_app(Home(tmp_path_factory.mktemp("empty") / "home")).openapi()["paths"]


def everybody(client, **params):
    users, cursor = [], None
    while True:
        page = client.get("/v1/users", params={"limit": 37} | params | ({"cursor": cursor} if cursor else {})).json()
        users += [user["user"] for user in page["users"]]
        cursor = page["next_cursor"]
        if cursor is None:
            assert len(users) == len(set(users)) == page["matching"]
            return users


def test_every_route_is_covered(documented_paths):
    """A new route must be listed above."""
    assert set(documented_paths) == {*OF_ONE, CONTEST} | OF_MANY | RIGHTS | OF_RECORDS | OF_NOBODY


def test_hidden_user_cannot_contest(client, documented_paths):
    assert client.put("/v1/users/user0001/opt-out").status_code == 200
    answer = client.post("/v1/users/user0001/cases", json={"message": "It is too low."})
    assert answer.status_code == 410
    assert answer.json()["type"] == "urn:clout:problem:hidden-user"
    assert "410" in documented_paths[CONTEST]["post"]["responses"]


def test_every_user_route_documents_hidden_users(documented_paths):
    for path in OF_ONE:
        assert "410" in documented_paths[path]["get"]["responses"], path


@pytest.mark.parametrize("path", OF_ONE)
@pytest.mark.parametrize("values", [{}, {"as_of": "2017-07-30", "from": "2017-07-30"}, {"scope": "topic:birds"}])
def test_opted_out_user_is_hidden_in_every_route(client, documented_paths, path, values):
    parameters = {parameter["name"] for parameter in documented_paths[path]["get"].get("parameters", [])}
    query = urlencode({name: value for name, value in values.items() if name in parameters})
    url = f"{path.replace('{user}', 'user0001')}?{query}"
    before = client.get(url)
    assert before.status_code in (200, 404)
    assert client.put("/v1/users/user0001/opt-out").status_code == 200
    answer = client.get(url)
    assert answer.status_code == 410
    problem = Problem.model_validate(answer.json(), strict=True)
    assert problem.type == "urn:clout:problem:hidden-user"
    assert problem.detail == "no score of 'user0001' is shown: the user asked not to be scored, or to be forgotten."
    assert client.delete("/v1/users/user0001/opt-out").status_code == 200
    assert client.get(url).json() == before.json() | ({} if before.status_code == 200 else client.get(url).json())


def test_hidden_user_gets_same_answer_without_score(client):
    for user in ("nobody", ANN):
        client.put(f"/v1/users/{user}/opt-out")
    answers = [client.get(f"/v1/users/{user}/score").json() for user in ("nobody", ANN)]
    for answer, user in zip(answers, ("nobody", ANN), strict=True):
        assert answer.pop("request_id")
        assert answer.pop("instance") == f"/v1/users/{user}/score"
        answer["detail"] = answer["detail"].replace(user, "")
    assert answers[0] == answers[1]


def test_search_excludes_hidden_users(client):
    before = everybody(client)
    top, middle, last = before[0], before[150], before[-1]
    for k, user in enumerate((top, middle, last), 1):
        opt_out(client.app.state.home, user)
        assert client.get("/v1/users").json()["matching"] == len(before) - k
    assert everybody(client) == [user for user in before if user not in (top, middle, last)]
    assert set(everybody(client, as_of="2017-07-30")) == set(before) - {top, middle, last}
    opt_in(client.app.state.home, middle)
    assert everybody(client) == before[1:-1]


def test_selection_excludes_hidden_users(tmp_path, selection_home, champion):
    home = Home(shutil.copytree(selection_home.folder, tmp_path / "selection"))
    client = TestClient(create_app(home), raise_server_exceptions=False)
    select = partial(client.post, "/v1/selections")
    first = select(json={"k": 5}).json()["members"][0]["user"]
    opt_out(home, first)
    answer = select(json={"k": 5})
    assert answer.status_code == 200
    assert first not in answer.text
    refused = select(json={"k": 5, "include": [first]})
    assert refused.status_code == 422
    assert "is not among the users who can be selected" in refused.json()["detail"]


def test_later_page_excludes_hidden_users(client):
    before = everybody(client)
    page = client.get("/v1/users?limit=10").json()
    for gone in (before[9], before[10]):  # the user at the cursor, and the next
        opt_out(client.app.state.home, gone)
    after = client.get("/v1/users", params={"cursor": page["next_cursor"], "limit": 10}).json()
    assert [user["user"] for user in after["users"]] == before[11:21]


def test_scope_of_hidden_users_only_is_unknown(client):
    for user in ("user0001", "user0002"):
        opt_out(client.app.state.home, user)
    answer = client.get("/v1/users?scope=topic:birds")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:clout:problem:unknown-scope")


def test_batch_excludes_hidden_users(client):
    opt_out(client.app.state.home, ANN)
    answer = client.post("/v1/scores", json={"users": ["user0001", ANN, "user0002"]}).json()
    assert [score["user"] for score in answer["users"]] == ["user0001", "user0002"]
    assert answer["unknown"] == [ANN]


def test_suggestions_exclude_hidden_users(client):
    close = "/v1/users/user000/score"
    assert ANN in client.get("/v1/users/user00070/score").json()["detail"]
    opt_out(client.app.state.home, ANN)
    for path in (close, "/v1/users/user00070/score", "/v1/users/user00070/explanation"):
        assert ANN not in client.get(path).json()["detail"].replace("user00070", "")


@pytest.mark.parametrize("user", NASTY)
def test_unusual_ids_opt_out_and_in(client, user):
    url = f"/v1/users/{quote(user, safe='')}"
    if user == "..":  # clients remove it from paths; the command accepts it
        opt_out(client.app.state.home, user)
    else:
        assert client.put(f"{url}/opt-out").json() | {"since": ""} == {"user": user, "opted_out": True, "since": ""}
        assert client.put(f"{url}/opt-out").status_code == 200
        assert client.get(f"{url}/score").status_code == 410
    assert [row.user for row in list_opt_outs(client.app.state.home)] == [user]
    assert client.post("/v1/scores", json={"users": [user]}).json()["unknown"] == [user]
    assert opt_in(client.app.state.home, user)
    assert not opt_in(client.app.state.home, user)
    assert list_opt_outs(client.app.state.home) == []
    if user != "..":
        assert client.get(f"{url}/score").status_code in (200, 404)


@pytest.mark.parametrize("user", ["", "half \ud83d pair"])
def test_invalid_id_is_refused(tmp_path, user):
    with pytest.raises(UserIdError, match=r"is empty|cannot be encoded as UTF-8"):
        opt_out(Home(tmp_path / "home"), user)
    assert list_opt_outs(Home(tmp_path / "home")) == []


@pytest.mark.parametrize("user", ["1.5e+18", '{"id": "12"}'])
def test_what_cannot_be_an_id_is_refused(tmp_path, user):
    with pytest.raises(UserIdError, match=r"has lost digits|use a member of it that is an id"):
        opt_out(Home(tmp_path / "home"), user)


def test_ids_are_read_as_in_other_inputs(tmp_path):
    home = Home(tmp_path / "home")
    assert opt_out(home, " 12.0").user == "12"
    users = load_opted_out_users(home)
    assert len(users) == 1
    assert all(user in users for user in ("12", "12.0", " 12"))
    assert not any(user in users for user in ("120", "1.5e+18", ""))
    events = pa.table({"time": [datetime(2024, 1, 1, tzinfo=UTC)] * 2, "actor": ["12.0", "b"], "target": ["b", "c"]})
    events = events.append_column("verb", pa.array(["like", "like"]))
    assert load_events(events, excluded=users).to_pyarrow()["actor"].to_pylist() == ["b"]
    assert opt_in(home, "12.0")
    assert len(load_opted_out_users(home)) == 0


def test_repeated_opt_out_retains_first_instant(tmp_path, monkeypatch):
    monkeypatch.setattr("training.records.opt_outs.now_iso_utc", iter(["2020-01-01", "2021-01-01"]).__next__)
    first = opt_out(Home(tmp_path), "ann")
    assert opt_out(Home(tmp_path), "ann") == first == list_opt_outs(Home(tmp_path))[0]


def test_opt_out_of_another_process_hides_at_once(client):
    code = "import sys; from pathlib import Path; from training.home import Home;"
    code += " from training.records.opt_outs import opt_out;"
    code += "opt_out(Home(Path(sys.argv[1])), sys.argv[2])"
    assert client.get(f"/v1/users/{ANN}/score").status_code == 200
    preloaded.run([sys.executable, "-c", code, client.app.state.home.folder, ANN], check=True)
    assert client.get(f"/v1/users/{ANN}/score").status_code == 410


def test_replaced_records_are_reloaded(home):
    hidden = hidden_users(home)
    assert len(hidden()) == 0
    opt_out(home, ANN)
    assert ANN in hidden()
    for file in home.folder.glob("records.db*"):
        file.unlink()
    assert len(hidden()) == 0
    opt_out(home, "user0008")
    assert (ANN in hidden(), "user0008" in hidden()) == (False, True)


def test_damaged_records_leave_cached_users_hidden(home):
    hidden = hidden_users(home)
    opt_out(home, ANN)
    assert ANN in hidden()
    for file in home.folder.glob("records.db*"):
        file.unlink()
    home.records.write_bytes(b"no database " * 1000)
    assert ANN in hidden()
    hidden_users.cache_clear()
    with pytest.raises(RecordsError, match=r"records\.db.*file is not a database"):
        hidden_users(home)()


def test_unreadable_records_hide_all_users(two_snapshots, champion):
    two_snapshots.records.write_bytes(b"no database " * 1000)
    client = TestClient(create_app(two_snapshots), raise_server_exceptions=False)
    answer = client.get(f"/v1/users/{ANN}/score")
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:clout:problem:no-records")
    assert client.put(f"/v1/users/{ANN}/opt-out").status_code == 503


def test_records_damaged_later_leave_users_hidden(client):
    assert client.put(f"/v1/users/{ANN}/opt-out").status_code == 200
    assert client.get(f"/v1/users/{ANN}/score").status_code == 410
    home = client.app.state.home
    home.records.unlink()
    home.records.write_bytes(b"no database " * 1000)
    assert client.get(f"/v1/users/{ANN}/score").status_code == 410
    assert client.get("/v1/users/user0001/score").status_code == 200


def test_unchanged_records_are_not_reloaded(home, monkeypatch):
    opt_out(home, ANN)
    hidden = hidden_users(home)
    first = hidden()
    monkeypatch.setattr(hidden, "_load", lambda *_: pytest.fail("read again"))
    assert hidden() is first
    with Records(home).begin() as connection:  # other records do not count
        connection.exec_driver_sql("CREATE TABLE other (x)")
    assert hidden() is first


def test_library_call_hides_opted_out_user(two_snapshots):
    opt_out(two_snapshots, ANN)
    snapshot, older = open_snapshot(two_snapshots), open_snapshot(two_snapshots, AS_OF)
    for ask in (snapshot.score, snapshot.feature_row, snapshot.explain, older.score):
        with pytest.raises(HiddenUserError, match="no score of 'user0007' is shown"):
            ask(ANN)
    with pytest.raises(HiddenUserError):
        change(older, snapshot, ANN)
    with pytest.raises(HiddenUserError):
        history(two_snapshots, ANN)
    assert ANN not in snapshot.scores_by_user([ANN, "user0001"])


def test_community_change_excludes_hidden_users(two_snapshots, tmp_path):
    before = community_change(
        open_snapshot(two_snapshots, AS_OF), open_snapshot(two_snapshots), top=3, out=tmp_path / "all.parquet"
    )
    first, *others = (row.user for row in before.fallen)
    opt_out(two_snapshots, first)
    after = community_change(
        open_snapshot(two_snapshots, AS_OF), open_snapshot(two_snapshots), top=3, out=tmp_path / "less.parquet"
    )
    assert (after.users, after.judged) == (before.users - 1, before.judged - 1)
    assert [row.user for row in after.fallen][:2] == others
    everybody, less = (pq.read_table(tmp_path / f"{name}.parquet")["user"].to_pylist() for name in ("all", "less"))
    assert less == [user for user in everybody if user != first]


def test_later_snapshot_excludes_opted_out_users(two_snapshots, bundle, scores, rows):
    opt_out(two_snapshots, ANN)
    folder = write_snapshot(two_snapshots, LATER + timedelta(days=1), bundle, "3", scores, rows)
    assert ANN not in pq.read_table(folder / "scores.parquet")["user"].to_pylist()
    assert ANN.encode() not in b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    opt_in(two_snapshots, ANN)
    assert open_snapshot(two_snapshots).scores_by_user([ANN]) == {}


def test_hashed_user_is_hidden_in_existing_snapshot(two_snapshots, tmp_path):
    """Such as a snapshot restored from a backup: hidden by id, in searches, and in changes of the community."""
    shutil.copytree(two_snapshots.snapshots, tmp_path / "backup")
    opt_out(two_snapshots, ANN)
    with Records(two_snapshots).begin() as connection:
        remove_ids(connection, [ANN])
    assert load_opted_out_users(two_snapshots).known_ids == ()
    snapshot = open_snapshot(two_snapshots)
    users = snapshot.scores.column("user").combine_chunks()
    assert hidden_rows(users, load_opted_out_users(two_snapshots)).tolist() == [users.to_pylist().index(ANN)]
    assert (
        hidden_rows(
            users, load_opted_out_users(two_snapshots), cleared=load_opted_out_users(two_snapshots).change
        ).tolist()
        == []
    )
    page = search(snapshot, SearchQuery(), 1000)
    assert page.matching == len(users) - 1 - 2  # two users with the topic
    assert ANN not in {score["user"] for score in page.scores}
    with pytest.raises(HiddenUserError):
        snapshot.score(ANN)


def test_checking_records_takes_microseconds(home):
    opt_out(home, ANN)
    hidden = hidden_users(home)
    hidden()
    times = []
    for _ in range(300):
        start = time.perf_counter()
        hidden()
        times.append(time.perf_counter() - start)
    assert np.median(times) < 1e-3  # about ten microseconds; reading all opt-outs would take milliseconds


def test_guarded_service_requires_admin_key(two_snapshots):
    from serving.middleware.api_keys import add_key

    keys = {scope: add_key(two_snapshots, scope, scope) for scope in ("read", "review", "admin")}
    client = TestClient(create_app(two_snapshots), raise_server_exceptions=False)
    for method, path in (("PUT", "/opt-out"), ("DELETE", "/opt-out"), ("DELETE", "")):
        for scope, expected in (("read", 403), ("review", 403)):
            head = {"Authorization": f"Bearer {keys[scope]}"}
            assert client.request(method, f"/v1/users/{ANN}{path}", headers=head).status_code == expected
    head = {"Authorization": f"Bearer {keys['review']}"}
    assert client.get(f"/v1/users/{ANN}/score", headers=head).status_code == 200
    assert client.get("/v1/receipts/x", headers=head).status_code == 403
    admin = {"Authorization": f"Bearer {keys['admin']}"}
    assert client.put(f"/v1/users/{ANN}/opt-out", headers=admin).status_code == 200
    assert client.get(f"/v1/users/{ANN}/score", headers=head).status_code == 410
