"""The OpenAPI document: complete, correct, and with one form of errors on all routes."""

from math import log
from urllib.parse import parse_qsl

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from pydantic import TypeAdapter

from features.catalogue import SCORED
from serving import app as application
from serving.api import examples
from serving.api.routes import scores
from serving.middleware.problem_details import Problem
from serving.privacy.cases import EXAMPLE_CASE
from serving.snapshots.cursor import Cursor, decode_cursor
from training.home import Home

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
PROBLEM = "application/problem+json"
ALWAYS = {"type", "title", "status", "detail", "instance"}
UNKNOWN, LATER = "/v1/users/nobody", "from=2017-07-30&to=2017-07-02"
PROVOKED = {
    ("get", "/v1/users/{user}/score", 404): [f"{UNKNOWN}/score", "/v1/users/user0001/score?as_of=2016-01-01"],
    ("get", "/v1/users/{user}/score", 422): ["/v1/users/user0001/score?as_of=soon"],
    ("get", "/v1/users/{user}/explanation", 404): [f"{UNKNOWN}/explanation", "/v1/users//explanation"],
    ("get", "/v1/users/{user}/explanation", 422): ["/v1/users/user0001/explanation?as_of="],
    ("get", "/v1/users/{user}/history", 404): [f"{UNKNOWN}/history", "/v1/users/user0001/history?to=2016-01-01"],
    ("get", "/v1/users/{user}/history", 422): [f"/v1/users/user0001/history?{LATER}"],
    ("get", "/v1/users/{user}/change", 404): [f"{UNKNOWN}/change", "/v1/users/user0001/change"],
    ("get", "/v1/users/{user}/change", 422): ["/v1/users/user0001/change?from=2018-01-01", "/v1/users/a/change?to=x"],
    ("get", "/v1/users/{user}/what-if", 404): [f"{UNKNOWN}/what-if", "/v1/users/user0003/what-if?scope=topic:birds"],
    ("get", "/v1/users/{user}/what-if", 422): [
        "/v1/users/user0003/what-if",
        "/v1/users/user0001/what-if?away_days=x",
        "/v1/users/user0001/what-if?set=strange=1",
    ],
    ("get", "/v1/users", 404): ["/v1/users?scope=topic:fish", "/v1/users?as_of=2016-01-01"],
    ("get", "/v1/users", 422): ["/v1/users?limit=0", "/v1/users?cursor=x", "/v1/users?min_score=2&max_score=1"],
    ("post", "/v1/scores", 404): ["/v1/scores?as_of=2016-01-01"],
    ("post", "/v1/scores", 422): ["/v1/scores"],
    ("post", "/v1/selections", 404): ["/v1/selections?scope=topic:fish", "/v1/selections?as_of=2016-01-01"],
    ("post", "/v1/selections", 422): ["/v1/selections?k=0"],
    ("get", "/v1/users/{user}/reads", 422): ["/v1/users/a/reads?from=x", f"/v1/users/a/reads?{LATER}"],
    ("post", "/v1/users/{user}/cases", 404): [
        f"{UNKNOWN}/cases",
        "/v1/users/user0003/cases?scope=topic:birds",
        "/v1/users/user0001/cases?as_of=2016-01-01",
    ],
    ("post", "/v1/users/{user}/cases", 422): [
        "/v1/users/user0001/cases?message=",
        "/v1/users/user0001/cases?message=%00",
        "/v1/users/user0001/cases?as_of=soon",
        "/v1/users/user0001/cases?strange=1",
    ],
    ("get", "/v1/users/{user}/cases/{case}", 404): [
        f"/v1/users/user0001/cases/{EXAMPLE_CASE}",
        "/v1/users/a/cases/%00",
    ],
    ("get", "/v1/cases", 422): ["/v1/cases?limit=0", "/v1/cases?cursor=after-0", "/v1/cases?state=x"],
    ("get", "/v1/cases/{case}", 404): [f"/v1/cases/{EXAMPLE_CASE}", "/v1/cases/x"],
    ("post", "/v1/cases/{case}/resolution", 404): [f"/v1/cases/{EXAMPLE_CASE}/resolution"],
    ("post", "/v1/cases/{case}/resolution", 422): [f"/v1/cases/{EXAMPLE_CASE}/resolution?decision=upheld"],
    ("put", "/v1/users/{user}/opt-out", 422): ["/v1/users//opt-out"],
    ("delete", "/v1/users/{user}/opt-out", 422): ["/v1/users//opt-out"],
    ("delete", "/v1/users/{user}", 422): ["/v1/users/"],
    ("get", "/v1/receipts/{receipt}", 404): ["/v1/receipts/none"],
    ("get", "/v1/receipts/{receipt}", 422): ["/v1/receipts/none?x=1"],
    ("get", "/v1/cases/{case}", 422): [f"/v1/cases/{EXAMPLE_CASE}?user=ann"],
    ("get", "/v1/users/{user}/cases/{case}", 422): [f"/v1/users/user0001/cases/{EXAMPLE_CASE}?scope=all"],
    ("get", "/v1/model", 422): ["/v1/model?version=3"],
    ("get", "/v1/catalogue", 422): ["/v1/catalogue?family=reach"],
    ("get", "/v1/purposes", 422): ["/v1/purposes?name=hiring"],
}
BODIES = {
    "/v1/scores": {"users": ["user0001"]},
    "/v1/selections": {"k": 3},
    "/v1/users/{user}/cases": {"message": "I was there."},
    "/v1/cases/{case}/resolution": {"decision": "stands", "reasons": "Nothing is missing."},
}
# These routes read records and files of their own; their own tests check what they answer if a record is absent.
OF_RECORDS = {"/v1/users/{user}/reads", "/v1/users/{user}/cases/{case}", "/v1/cases", "/v1/cases/{case}"}
OF_RECORDS |= {"/v1/cases/{case}/resolution", "/v1/users/{user}/opt-out", "/v1/users/{user}", "/v1/receipts/{receipt}"}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """The service of an empty home."""
    return application.create_app(Home(tmp_path_factory.mktemp("empty")))


@pytest.fixture
def client(home, champion):
    return TestClient(application.create_app(home), raise_server_exceptions=False)


def operations(app):
    return [
        (method, path, operation)
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    ]


def problem(response, status):
    """Check a response against the form of problems and return its body."""
    assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM), response.text
    body = response.json()
    assert Problem.model_validate(body, strict=True).status == status
    assert set(body) >= ALWAYS
    assert set(body) <= set(Problem.model_fields)
    assert body["type"] == "about:blank" or body["type"].startswith("urn:clout:problem:")
    assert body["title"]
    assert body["detail"]
    return body


def send(client, method, path):
    return client.request(method, fill_path(path), json=BODIES[path] if method == "post" else None)


def fill_path(path):
    return path.replace("{user}", "ann").replace("{case}", EXAMPLE_CASE)


def test_every_route_and_parameter_is_described_with_an_example(app):
    for method, path, operation in operations(app):
        assert operation["summary"].lower().replace(" ", "_") == operation["operationId"], path
        assert operation["description"], path
        assert operation["tags"], path
        for parameter in operation.get("parameters", []):
            assert parameter["description"], (path, parameter["name"])
            assert parameter["schema"]["examples"], (path, parameter["name"])
        if method == "post":
            assert operation["requestBody"]["content"]["application/json"]["examples"], path


def test_every_schema_and_field_is_described(app):
    for name, schema in app.openapi()["components"]["schemas"].items():
        assert schema["description"], name
        assert "Parameters" not in schema["description"], name
        for field, content in schema.get("properties", {}).items():
            assert content.get("description"), (name, field)


def test_names_of_schemas_and_operations_are_unique(app):
    schemas = app.openapi()["components"]["schemas"]
    assert [name for name in schemas if "__" in name] == []
    titles = [schema["title"] for schema in schemas.values() if "title" in schema]
    assert len(titles) == len(set(titles))
    names = [operation["operationId"] for _, _, operation in operations(app)]
    assert len(names) == len(set(names))
    assert {"get_score", "get_explanation", "search_users", "score_batch"} < set(names)
    assert [name for name in names if "v1" in name or not name.isidentifier()] == []


INSTANTS = {"as_of", "since", "opened", "resolved", "asked", "finished", "time", "earlier"}
NAMED_ENUMS = {"evidence": "Evidence", "status": "Status", "part": "Part", "state": "State", "decision": "Decision"}


def test_instants_are_dates_with_times(app):
    document = app.openapi()
    for name, schema in document["components"]["schemas"].items():
        for field, content in schema.get("properties", {}).items():
            forms = content.get("anyOf", [content])
            if field in INSTANTS and forms[0].get("type") == "string":
                assert forms[0].get("format") == "date-time", (name, field)
    for _, path, operation in operations(app):
        for parameter in operation.get("parameters", []):
            if parameter["name"] in ("as_of", "from", "to"):
                assert parameter["schema"]["anyOf"][0]["format"] == "date-time", path


def test_enums_have_names(app):
    schemas = app.openapi()["components"]["schemas"]
    for name, schema in schemas.items():
        for field, content in schema.get("properties", {}).items():
            if field in NAMED_ENUMS and name not in ("Health", "Readiness", "Problem", "Read"):
                reference = content.get("anyOf", [content])[0]["$ref"]
                assert reference == f"#/components/schemas/{NAMED_ENUMS[field]}", (name, field)
    assert all(schemas[name]["enum"] for name in NAMED_ENUMS.values())


def test_all_intervals_have_one_schema(app):
    for name, schema in app.openapi()["components"]["schemas"].items():
        if name != "Interval":
            assert not {"low", "high"} & set(schema.get("properties", {})), name
        if "interval" in schema.get("properties", {}):
            assert schema["properties"]["interval"]["$ref"] == "#/components/schemas/Interval", name


def test_every_response_has_an_example(app):
    for _, path, operation in operations(app):
        for status, response in operation["responses"].items():
            assert response["description"], (path, status)
            for content in response["content"].values():
                assert "example" in content or content["examples"], (path, status)


def test_examples_are_valid_responses(app):
    """Each example is unchanged by parsing with its schema: no field is missing, superfluous or of the wrong type."""
    documented = {(method, path) for method, path, _ in operations(app)}
    routes = [route for route in app.routes if isinstance(route, APIRoute) and route.include_in_schema]
    assert {(*item.methods, item.path_format) for item in routes} == {(m.upper(), path) for m, path in documented}
    for route in (item for item in routes if item.response_model is not None):
        content = route.responses[route.status_code or 200]["content"]["application/json"]
        form = TypeAdapter(route.response_model)
        for example in (
            [content["example"]] if "example" in content else [item["value"] for item in content["examples"].values()]
        ):
            assert form.dump_python(form.validate_python(example), mode="json") == example, route.path


def test_examples_add_up():
    operation, change, (outcome,) = examples.EXPLANATION, examples.CHANGE, examples.WHAT_IF["in_own_hands"]
    assert operation["base"] + sum(line["points"] for line in operation["lines"]) == pytest.approx(
        operation["unclipped"], abs=1e-6
    )
    assert sum(operation["families"].values()) == pytest.approx(
        sum(line["points"] for line in operation["lines"]), abs=1e-6
    )
    moved = change["before"]["score"] + sum(line["points"] for line in change["lines"])
    assert moved == pytest.approx(change["after"]["score"], abs=1e-6)
    assert sum(change["parts"].values()) == pytest.approx(change["change"], abs=1e-6)
    assert outcome["score"] - examples.WHAT_IF["score"] == pytest.approx(outcome["gain"], abs=1e-6)
    for content in (examples.SCORE, *examples.HISTORY["scores"], change["before"], change["after"], outcome):
        assert 4 + 12 * log(content["expected_audience"]) == pytest.approx(content["score"], abs=0.01)
    assert isinstance(decode_cursor(examples.CURSOR), Cursor)


def test_every_documented_error_is_a_problem(app):
    reference = {"$ref": "#/components/schemas/Problem"}
    assert {"Problem", "Invalid"} <= set(app.openapi()["components"]["schemas"])
    assert "HTTPValidationError" not in app.openapi()["components"]["schemas"]
    for _, path, operation in operations(app):
        failures = {
            status: response for status, response in operation["responses"].items() if not status.startswith("2")
        }
        assert "500" in failures, path
        for status, response in failures.items():
            assert set(response["content"]) == {PROBLEM}, (path, status)
            content = response["content"][PROBLEM]
            assert content["schema"] == reference, (path, status)
            example = Problem.model_validate(content["example"], strict=True, extra="forbid")
            assert (example.status, example.instance) == (int(status), fill_path(path))


def test_every_documented_error_has_a_request(app):
    documented = {
        (method, path, int(status))
        for method, path, operation in operations(app)
        for status in operation["responses"]
        if status in ("404", "422")
    }
    assert set(PROVOKED) == documented


@pytest.mark.parametrize(("method", "path", "status"), PROVOKED)
def test_requests_get_their_documented_errors(client, method, path, status):
    for url in PROVOKED[method, path, status]:
        bare, _, query = url.partition("?")
        values = dict(parse_qsl(query, keep_blank_values=True))
        body = {} if path == "/v1/scores" and not values else BODIES.get(path, {}) | values
        response = client.post(bare, json=body) if method == "post" else client.request(method, url)
        parsed = problem(response, status)
        assert parsed["instance"] == url.partition("?")[0]


def test_every_route_refuses_other_methods(client):
    answered = {
        path: {m.upper() for m in content if m in METHODS} for path, content in client.app.openapi()["paths"].items()
    }
    for path, methods in answered.items():
        for method in {"GET", "PUT", "POST", "DELETE", "PATCH"} - methods:
            response = client.request(method, fill_path(path))
            problem(response, 405)
            allowed = methods | ({"HEAD"} if "GET" in methods else set())
            assert {item.strip() for item in response.headers["allow"].split(",")} == allowed


def test_absent_snapshots_and_models_are_documented_problems(app):
    client = TestClient(app, raise_server_exceptions=False)
    for method, path, operation in operations(app):
        response = send(client, method, path)
        if path in OF_RECORDS:
            assert response.status_code in (200, 202, 404)
        elif "503" in operation["responses"]:
            problem(response, 503)
        else:
            assert response.status_code == 200


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/", "/v2/users", "/v1/users/a/b", "http://testserver//", "/v1/scores/x", "/compare/ann"]
)
def test_unknown_paths_are_problems(client, path):
    body = problem(client.get(path), 404)
    assert body["type"] == "about:blank"
    assert "/docs lists them" in body["detail"]


def test_examples_name_features_of_the_model():
    lines = [*examples.EXPLANATION["lines"], *examples.CHANGE["lines"]]
    reasons = [*examples.EXPLANATION["reasons"], *examples.CHANGE["reasons"]]
    changes = examples.WHAT_IF["in_own_hands"][0]["changes"]
    rows = scores.EXAMPLES["rows"]["value"]["rows"], scores.EXAMPLES["table"]["value"]["table"]["features"]
    shown = [line["feature"] for line in [*lines, *changes]] + [
        name for reason in reasons for name in reason["features"]
    ]
    assert set(shown) | set(rows[0][0]) | set(rows[1]) <= set(SCORED.names)
