import shutil

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.privacy.audit_check_and_reads import reads_about
from serving.privacy.purposes import purpose_policy
from serving.selections.candidates import snapshot_candidates
from serving.selections.select import SelectionRequest, select
from serving.snapshots.repository import open_snapshot
from training.home import Home


@pytest.fixture
def home(tmp_path, selection_home):
    return Home(shutil.copytree(selection_home.folder, tmp_path / "home"))


@pytest.fixture
def client(home, champion):
    return TestClient(create_app(home), raise_server_exceptions=False)


def users(answer):
    return [member["user"] for member in answer["members"]]


def test_the_route_equals_the_library(client, home):
    answer = client.post("/v1/selections", json={"k": 5}).json()
    selection = select(snapshot_candidates(open_snapshot(home)), SelectionRequest(k=5))
    assert users(answer) == [member.user for member in selection.members]
    assert answer["reach"] == pytest.approx(selection.reach)
    assert client.post("/v1/selections", json={"k": 5}).json() == answer


def test_constraints_are_read_from_the_body(client):
    first, second, *_ = users(client.post("/v1/selections", json={"k": 5}).json())
    body = {"k": 2, "exclude": [first], "cost": {second: 3.0, "user0005": 2.0, "user0006": 1.0}, "budget": 5.0}
    answer = client.post("/v1/selections", json=body | {"include": ["user0005"], "count": "everybody"}).json()
    assert users(answer)[0] == "user0005"
    assert first not in users(answer)
    assert sum(member["cost"] for member in answer["members"]) <= 5


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"k": 0}, 422, "invalid-request"),
        ({"k": 2, "cost": {"user0001": -1}, "budget": 3}, 422, "invalid-request"),
        ({"size": 2}, 422, "invalid-request"),
        ({"k": 1_001}, 422, "invalid-request"),
        ({"k": "ten"}, 422, "invalid-request"),
        ({"k": 2, "cost": {"user0001": "cheap"}, "budget": 3}, 422, "invalid-request"),
        ({"k": 2, "cost": {"user0001": 1}, "budget": 0}, 422, "invalid-request"),
        ({"k": 2, "cost": {"user0001": 1}, "budget": "nan"}, 422, "invalid-request"),
        ({"max_per_network": 0}, 422, "invalid-request"),
        ({"k": 2, "include": ["user0001"], "exclude": ["user0001"]}, 422, "impossible-selection"),
        ({"k": 2, "cost": {"nobody": 1}, "budget": 3}, 422, "impossible-selection"),
        ({"scope": ""}, 404, "unknown-scope"),
        ({"k": 2, "budget": 3}, 422, "impossible-selection"),
        ({"include": ["nobody"]}, 422, "impossible-selection"),
        ({"scope": "topic:nothing"}, 404, "unknown-scope"),
        ({"max_per_network": 1}, 404, "unknown-scope"),
        ({"as_of": "2016-01-01"}, 404, "absent-snapshot"),
    ],
)
def test_requests_that_cannot_be_answered_are_problems(client, body, status, kind):
    response = client.post("/v1/selections", json=body)
    assert (response.status_code, response.json()["type"]) == (status, f"urn:clout:problem:{kind}")


def test_a_number_outside_its_limits_is_named(client):
    detail = client.post("/v1/selections", json={"k": 1_001}).json()["detail"]
    assert detail == "body.k: Input should be less than or equal to 1000; found 1001."


def test_all_users_of_the_answer_are_in_the_audit_log(client, home):
    answer = client.post("/v1/selections", json={"k": 3, "exclude": ["user0007"]}).json()
    client.close()
    names = {*users(answer), "user0007", *(user for other in answer["alternatives"] for user in other["users"])}
    for user in names:
        assert [read.route for read in reads_about(home, user).reads] == ["/v1/selections"], user


def test_a_required_purpose_is_required(home, champion):
    client = TestClient(create_app(home, purposes=purpose_policy(demanded=True)), raise_server_exceptions=False)
    assert client.post("/v1/selections", json={}).status_code == 400
    named = client.post("/v1/selections", json={}, headers={"Clout-Purpose": "speaker selection"})
    assert named.status_code == 200


def test_opted_out_users_are_not_selected(client, home):
    user = users(client.post("/v1/selections", json={"k": 1}).json())[0]
    assert client.put(f"/v1/users/{user}/opt-out").status_code == 200
    answer = client.post("/v1/selections", json={"k": 5}).json()
    assert user not in [*users(answer), *(name for other in answer["alternatives"] for name in other["users"])]


def test_a_snapshot_without_audiences_cannot_be_selected_from(scored_home, tmp_path, champion):
    home = Home(shutil.copytree(scored_home.folder, tmp_path / "scored"))
    response = TestClient(create_app(home)).post("/v1/selections", json={})
    assert (response.status_code, response.json()["type"]) == (503, "urn:clout:problem:no-snapshot")
    assert "clout train" in response.json()["detail"]
