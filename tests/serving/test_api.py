"""The HTTP API: its answers, and the common form of all errors."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import get_args
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient

from features.catalogue import CATALOGUE
from features.catalogue.feature import Family
from features.errors import RegistryError
from features.ids import SPACES, parse_id
from serving import app as application
from serving.api.schemas import RowScores
from serving.privacy.audit_check_and_reads import reads_about
from serving.runtime import state
from serving.snapshots.repository import list_snapshots, open_snapshot, write_snapshot
from training.home import Home

FIGURES = {"metrics": {"score": {"auc": 0.9}}, "odd": float("nan")}
PROBLEM = {"type", "title", "status", "detail", "instance"}
ODD_IDS = ["a/b", "a b", "ünï/çødé 🙂", "50%", "x/score", "who?me#1", "+", "'; --"]


@pytest.fixture
def champion(monkeypatch, bundle):
    """Replace the registry, which has its own tests."""
    monkeypatch.setattr(state, "load_champion", lambda *_: (bundle, "4"))
    monkeypatch.setattr(state, "report", lambda *_: FIGURES)


@pytest.fixture
def client(home, champion):
    return TestClient(application.create_app(home), raise_server_exceptions=False)


def problem(response, status, kind=None):
    """Check a response against RFC 9457 and return its body."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert set(body) >= PROBLEM
    assert body["status"] == status
    assert body["type"] == (f"urn:clout:problem:{kind}" if kind else "about:blank")
    return body


def strict(response):
    """Parse JSON that must not contain NaN."""
    assert response.status_code == 200, response.text
    return json.loads(response.text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))


def test_score(client, home):
    body = strict(client.get("/v1/users/user0001/score"))
    row = open_snapshot(home).score("user0001")
    interval = {name: row.pop(name) for name in ("low", "high", "level")}
    assert body == row | {"interval": interval}
    assert (body["model_version"], body["as_of"]) == ("3", "2017-07-30T00:00:00Z")


@pytest.mark.parametrize("user", ODD_IDS)
def test_ids_are_opaque(client, user):
    assert strict(client.get(f"/v1/users/{quote(user, safe='')}/score"))["user"] == user
    assert strict(client.get(f"/v1/users/{quote(user, safe='')}/explanation"))["user"] == user


def test_scope(client):
    assert strict(client.get("/v1/users/user0001/score?scope=topic:birds"))["scope"] == "topic:birds"
    body = problem(client.get("/v1/users/user0003/explanation?scope=topic:birds"), 404, "absent-scope")
    assert "scopes there: all" in body["detail"]


def test_explanation_adds_up(client):
    body = strict(client.get("/v1/users/user0001/explanation"))
    assert body["base"] + sum(line["points"] for line in body["lines"]) == pytest.approx(body["unclipped"], abs=1e-6)
    assert body["interval"]["level"] == 0.9
    assert {line["family"] for line in body["lines"]} <= set(get_args(Family))


def test_unknown_user(client):
    body = problem(client.get("/v1/users/us%2Fer/score"), 404, "unknown-user")
    assert body["instance"] == "/v1/users/us/er/score"
    assert "309 users" in body["detail"]


@pytest.mark.parametrize(
    "as_of", ["2017-07-02", "2017-07-02T02:00:00+02:00", "2017-07-02T02:00:00%2B02:00", "2017-07-02T00:00:00Z"]
)
def test_an_older_snapshot(client, home, bundle, scores, rows, as_of):
    newest = open_snapshot(home)
    write_snapshot(home, newest.as_of - timedelta(days=28), bundle, "2", scores.assign(model_version="2"), rows)
    body = strict(client.get(f"/v1/users/user0001/score?as_of={as_of}"))
    assert (body["as_of"], body["model_version"]) == ("2017-07-02T00:00:00Z", "2")
    assert strict(client.get("/v1/users/user0001/score"))["as_of"] == "2017-07-30T00:00:00Z"


def test_an_absent_snapshot(client):
    body = problem(client.get("/v1/users/user0001/score?as_of=2016-01-01"), 404, "absent-snapshot")
    assert "there are: 2017-07-30T00:00:00Z" in body["detail"]


@pytest.mark.parametrize("as_of", ["yesterday", "", "0001-01-01T00:00:00%2B14:00"])
def test_invalid_instants_are_refused(client, as_of):
    problem(client.get(f"/v1/users/user0001/score?as_of={as_of}"), 422, "no-instant")


def test_many_users(client):
    ids = ["user0002", "nobody", "user0001", "user0002", "a/b", ".."]
    body = strict(client.post("/v1/scores", json={"users": ids}))
    assert [score["user"] for score in body["users"]] == ["user0002", "user0001", "user0002", "a/b", ".."]
    assert body["unknown"] == ["nobody"]
    assert (body["model_version"], body["as_of"], body["scope"]) == ("3", "2017-07-30T00:00:00Z", "all")
    topic = strict(client.post("/v1/scores", json={"users": ids, "scope": "topic:birds"}))
    assert topic["unknown"] == ["nobody", "a/b", ".."]


def test_many_users_of_an_older_snapshot(client, home, bundle, scores, rows):
    write_snapshot(home, datetime(2017, 7, 2, tzinfo=UTC), bundle, "2", scores.assign(model_version="2"), rows)
    older = strict(client.post("/v1/scores", json={"users": ["user0001"], "as_of": "2017-07-02"}))
    assert (older["as_of"], older["model_version"]) == ("2017-07-02T00:00:00Z", "2")
    assert older["users"] == [strict(client.get("/v1/users/user0001/score?as_of=2017-07-02"))]
    (read,) = [read for read in reads_about(home, "user0001").reads if read.method == "POST"]
    assert read.instants == {"as_of": "2017-07-02T00:00:00Z"}
    problem(client.post("/v1/scores", json={"users": ["a"], "as_of": "2016-01-01"}), 404, "absent-snapshot")
    problem(client.post("/v1/scores", json={"users": ["a"], "as_of": "soon"}), 422, "no-instant")
    refused = client.post("/v1/scores", json={"rows": [{"responder_rate_365d": 1}], "as_of": "2017-07-02"})
    assert "as_of applies to users only" in problem(refused, 422, "invalid-request")["detail"]


def test_rows_are_scored_by_the_champion(client, bundle, rows):
    rows_json = rows[CATALOGUE.names].head(20).astype(object).where(rows[CATALOGUE.names].head(20).notna(), None)
    body = strict(client.post("/v1/scores", json={"rows": rows_json.to_dict("records")}))
    expected = bundle.predict(rows.head(20))
    assert {score["interval"].pop("level") for score in body["scores"]} == {0.9}
    predicted = pd.DataFrame([score | score.pop("interval") for score in body["scores"]])
    pd.testing.assert_frame_equal(predicted.astype(float), expected)
    assert (body["model_version"], body["horizon_days"]) == ("4", 28)


def test_absent_features_count_as_unknown(client, bundle):
    body = strict(
        client.post(
            "/v1/scores",
            json={
                "rows": [
                    {"responder_rate_365d": 3},
                    {"credible_engagers_decayed_28d": 10.5, "responder_rate_365d": None},
                ]
            },
        )
    )
    frame = pd.DataFrame(
        [{"responder_rate_365d": 3.0}, {"credible_engagers_decayed_28d": 10.5}],
        columns=list(bundle.features),
        dtype=float,
    )
    assert [score["score"] for score in body["scores"]] == bundle.predict(frame)["score"].tolist()


def test_features_outside_the_model_change_nothing(client):
    shown = {"followers": 1e6, "acts_365d": 5_600, "engagers_365d": 1e6}
    body = strict(
        client.post("/v1/scores", json={"rows": [{"responder_rate_365d": 3}, {"responder_rate_365d": 3} | shown]})
    )
    assert body["scores"][0] == body["scores"][1]


@pytest.mark.parametrize("features", [None, ["repetitions_beyond_10_90d", "acts_365d", "responder_rate_365d"]])
def test_a_table_gets_the_answer_of_its_rows(client, rows, features):
    names = features or CATALOGUE.names[::-1]
    selected = rows[names].head(200).astype(object).where(rows[names].head(200).notna(), None)
    table = {"features": names, "values": selected.to_numpy().tolist()}
    body = strict(client.post("/v1/scores", json={"table": table}))
    assert body == strict(client.post("/v1/scores", json={"rows": selected.to_dict("records")}))
    assert RowScores.model_validate_json(json.dumps(body), strict=True).model_dump(mode="json") == body


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"features": ["a"], "values": [[1]]}, "there is no feature called 'a'"),
        ({"features": ["responder_rate_365d"], "values": [[1], [None]]}, "1 of the 2 rows hold no known value"),
        ({"features": ["acts_365d"], "values": [[1]]}, "1 of the 1 rows hold no known value"),
        ({"features": ["acts_365d"] * 2, "values": []}, "a feature appears twice"),
        ({"features": [], "values": []}, "at least 1 item"),
        ({"features": ["acts_365d"] * 1_001, "values": []}, "at most 1000 items"),
        ({"features": ["acts_365d"], "values": [[1], [1, 2]]}, "row 1, counted from 0, holds 2 values, expected 1"),
        ({"features": ["acts_365d"], "values": [[1], []]}, "row 1, counted from 0, holds 0 values, expected 1"),
        ({"features": ["acts_365d"], "values": [["1"]]}, "body.table.values.0.0: Input should be a valid number"),
        ({"features": ["acts_365d"], "values": [[1]] * 10_001}, "at most 10000 items"),
        ({"features": ["acts_365d"]}, "body.table.values: Field required"),
    ],
)
def test_invalid_tables_are_refused(client, table, message):
    response = client.post("/v1/scores", json={"table": table})
    assert response.status_code == 422
    assert message in response.json()["detail"]


@pytest.mark.parametrize(
    "body", [{"users": []}, {"rows": []}, {"table": {"features": ["responder_rate_365d"], "values": []}}]
)
def test_empty_requests_get_empty_responses(client, body):
    assert strict(client.post("/v1/scores", json=body))["users" if "users" in body else "scores"] == []


@pytest.mark.parametrize(
    ("posted", "message"),
    [
        (
            [{"responder_rate_365": 1.0}],
            r"feature called 'responder_rate_365' \(did you mean 'responder_rate_365d'\?\)",
        ),
        ([{"x" * 5000: 1.0} | {f"zz{k}": 1 for k in range(30)}], "and 21 more"),
        ([{"responder_rate_365d": 1.0}, {}], "1 of the 2 rows hold no known value; the first is row 1"),
        ([{"responder_rate_365d": None}], "hold no known value"),
        (
            [{"responder_rate_365d": 1.0}, {"followers": 1e6}],
            "1 of the 2 rows hold no known value; the first is row 1",
        ),
    ],
)
def test_rows_outside_the_catalogue_are_refused(client, posted, message):
    body = problem(client.post("/v1/scores", json={"rows": posted}), 422, "unfit-features")
    assert re.search(message, body["detail"])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{}", "exactly one of users, rows and table"),
        ('{"users": ["a"], "rows": [{}]}', "exactly one of users, rows and table"),
        ('{"rows": [], "table": {"features": ["a"], "values": []}}', "exactly one of users, rows and table"),
        ('{"rows": [], "scope": "all"}', "scope applies to users only"),
        ('{"users": [1]}', "body.users.0: Input should be a valid string; found 1."),
        ('{"users": ["\\ud800"]}', "body: not valid JSON: unexpected end of hex escape at line 1 column 19"),
        ('{"user": ["a"]}', "body.user: unknown field (did you mean 'users'?); expected "),
        ('{"users": [], "idz": []}', "body.idz: unknown field; expected "),
        (
            '{"rows": [{"responder_rate_365d": "3"}]}',
            "body.rows.0.responder_rate_365d: Input should be a valid number",
        ),
        ('{"rows": [{"responder_rate_365d": true}]}', "valid number; found True."),
        ('{"rows": [{"responder_rate_365d": NaN}]}', "finite number"),
        ('{"rows": [{"responder_rate_365d": 1e999}]}', "finite number"),
        ('{"rows": [{"responder_rate_365d": 1e300}]}', "less than or equal to"),
        ('{"rows": [{"responder_rate_365d": 1' + "0" * 400 + "}]}", "body.rows.0.responder_rate_365d"),
        (json.dumps({"users": ["a"] * 10_001}), "at most 10000 items"),
        (json.dumps({"rows": [{"responder_rate_365d": "x"}] * 100}), "and 97 more"),
        ("[", "body: not valid JSON: EOF while parsing a list at line 1 column 1"),
        ("[" * 5_000, "body: not valid JSON: recursion limit exceeded"),
        ('{"rows": [{"responder_rate_365d": 1,}]}', "body: not valid JSON: trailing comma at line 1"),
        ("", "body"),
    ],
)
def test_invalid_requests_are_refused(client, body, message):
    headers = {"content-type": "application/json"}
    response = problem(client.post("/v1/scores", content=body, headers=headers), 422, "invalid-request")
    assert message in response["detail"]
    assert 1 <= len(response["errors"]) <= 20


def test_model(client, bundle):
    body = strict(client.get("/v1/model"))
    assert body["model_version"] == "4"
    assert body["scale"] == asdict(bundle.scale)
    assert body["features"] == list(bundle.features)
    assert body["figures"] == {"metrics": {"score": {"auc": 0.9}}, "odd": None}
    assert body["facts"]["rows"] == 1200


def test_catalogue(client):
    body = strict(client.get("/v1/catalogue"))
    assert [entry["name"] for entry in body["features"]] == CATALOGUE.names
    assert body["catalogue"] == CATALOGUE.fingerprint


def test_ready(client):
    assert strict(client.get("/health")) == {"status": "ok"}
    body = strict(client.get("/ready"))
    stale = body.pop("stale")
    expected = {"status": "ready", "model_version": "4", "as_of": "2017-07-30T00:00:00Z", "users": 309}
    assert body == expected | {"snapshot_version": "3"}
    assert "the champion, version 4, has not scored yet" in stale["snapshot"]["detail"]


def test_an_empty_home_gets_instructions(tmp_path):
    client = TestClient(application.create_app(Home(tmp_path)), raise_server_exceptions=False)
    assert strict(client.get("/health")) == {"status": "ok"}
    body = problem(client.get("/ready"), 503, "not-ready")
    assert set(body["missing"]) == {"champion", "snapshot"}
    assert "'clout train EVENTS'" in body["detail"]
    assert "'clout score EVENTS" in body["detail"]
    problem(client.get("/v1/users/ann/score"), 503, "no-snapshot")
    problem(client.get("/v1/users/ann/score?as_of=2017-01-01"), 503, "no-snapshot")
    problem(client.post("/v1/scores", json={"users": ["ann"]}), 503, "no-snapshot")
    problem(client.post("/v1/scores", json={"rows": [{"responder_rate_365d": 1}]}), 503, "no-model")
    problem(client.get("/v1/model"), 503, "no-model")
    assert client.get("/v1/catalogue").status_code == 200


def test_users_are_answered_while_the_registry_is_down(home, monkeypatch):
    def unreachable(_):
        raise RegistryError("the registry does not answer.")

    monkeypatch.setattr(state, "load_champion", unreachable)
    client = TestClient(application.create_app(home), raise_server_exceptions=False)
    assert client.get("/v1/users/user0001/explanation").status_code == 200
    assert problem(client.get("/ready"), 503, "not-ready")["missing"] == {"champion": "the registry does not answer."}


def test_a_damaged_snapshot_is_reported_and_older_ones_answer(home, champion, bundle, scores, rows):
    (folder,) = list_snapshots(home)
    write_snapshot(home, datetime(2017, 7, 2, tzinfo=UTC), bundle, "3", scores, rows)
    (folder / "scores.parquet").write_bytes(b"PAR1")
    client = TestClient(application.create_app(home), raise_server_exceptions=False)
    assert "scores.parquet" in problem(client.get("/v1/users/ann/score"), 503, "no-snapshot")["detail"]
    assert strict(client.get("/v1/users/user0001/score?as_of=2017-07-02"))["as_of"] == "2017-07-02T00:00:00Z"


def operations(client):
    paths = client.get("/openapi.json").json()["paths"]
    return [(method, path, operation) for path, methods in paths.items() for method, operation in methods.items()]


def test_wrong_methods_and_unknown_paths_are_problems(client):
    for _, path, _ in operations(client):
        response = client.request("PATCH", path)
        assert f"does not answer PATCH, but {response.headers['allow']};" in problem(response, 405)["detail"]
        assert response.headers["allow"]
        problem(client.get(f"{path}/nowhere/"), 404)
    problem(client.get("/nowhere"), 404)
    problem(client.get("/ünknown path"), 404)


# These routes read only the records, whatever the state of the service.
OF_RECORDS = ("/v1/users/{user}/opt-out", "/v1/users/{user}", "/v1/receipts/{receipt}")


def test_a_failure_in_any_route_is_a_problem(client, monkeypatch, caplog):
    class Broken:
        def __getattr__(self, name):
            raise ZeroDivisionError("a secret")

    client.app.state.service = Broken()
    for method, path, _ in operations(client):
        if path not in ("/health", "/v1/catalogue", "/v1/purposes", *OF_RECORDS) and "/cases" not in path:
            body = {"include": ["a"]} if path == "/v1/selections" else {"users": ["a"]}
            response = client.request(method, path, json=body if method == "post" else None)
            assert "secret" not in problem(response, 500)["detail"]
    assert "a secret" in caplog.text


def test_every_route_documents_its_problems(client):
    document = client.get("/openapi.json").json()
    for _, path, operation in operations(client):
        failures = {status: response for status, response in operation["responses"].items() if status >= "400"}
        assert "500" in failures, path
        for response in failures.values():
            (content,) = response["content"].items()
            assert (content[0], content[1]["schema"]) == (
                "application/problem+json",
                {"$ref": "#/components/schemas/Problem"},
            )
        assert operation["description"]
        assert {"200", "201", "202"} & set(operation["responses"])
    assert {"Problem", "Invalid", "Explanation", "UserScore"} <= set(document["components"]["schemas"])
    assert client.get("/docs").status_code == 200


def test_responses_contain_plain_json_types(client):
    body = strict(
        client.post("/v1/scores", json={"rows": [{"responder_rate_365d": 1e15}, {"responder_rate_365d": -1e15}]})
    )
    assert all(np.isfinite(list((score | score.pop("interval")).values())).all() for score in body["scores"])


@pytest.mark.parametrize("user", ["a\nb", "\n", "user0001\n", "a\r\nX: y", "\u2028\x85"])
def test_line_breaks_are_part_of_an_id(client, user):
    for what in ("score", "explanation", "history", "what-if"):
        body = problem(client.get(f"/v1/users/{quote(user, safe='')}/{what}"), 404, "unknown-user")
        assert body["detail"].startswith(repr(user))
    opted_out = client.put(f"/v1/users/{quote(user, safe='')}/opt-out")
    if not user.strip(SPACES):
        assert "the id of a user is empty" in problem(opted_out, 422, "refused")["detail"]
        return
    assert opted_out.json()["user"] == parse_id(user)
    problem(client.get(f"/v1/users/{quote(user, safe='')}/score"), 410, "hidden-user")


def test_concurrent_batches_are_all_answered(client, rows):
    names = CATALOGUE.names[:30]
    values = rows[names].astype(object).where(rows[names].notna(), None).to_numpy().tolist()
    batches = [{"table": {"features": names, "values": values[k : k + 100]}} for k in range(0, 200, 5)]
    expected = [strict(client.post("/v1/scores", json=batch)) for batch in batches]
    with ThreadPoolExecutor(8) as pool, client:  # one event loop, in which the batches wait for each other
        assert list(pool.map(lambda batch: strict(client.post("/v1/scores", json=batch)), batches)) == expected
