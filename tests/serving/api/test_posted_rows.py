"""Posted rows: the fast decoder accepts the same bodies as the schemas and refuses others with the same messages."""

import json

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.catalogue import CATALOGUE
from serving.api.fast_routes import decode_rows
from serving.api.routes import scores
from serving.api.schemas import ScoreRequest
from serving.app import create_app
from serving.middleware.api_keys import add_key
from training.home import Home

BY_SCHEMAS = "application/vnd.clout+json"  # JSON for FastAPI; the fast decoder does not accept this type


@pytest.fixture
def client(home, champion):
    return TestClient(create_app(home), raise_server_exceptions=False)


def message(response):
    """Return status, headers and body of a response."""
    return response.status_code, dict(response.headers), response.content


def both(client, body, **headers):
    """Post a body to the fast decoder and to the schemas; check that the answers are equal."""
    headers["X-Request-ID"] = "one"
    kinds = ("application/json", BY_SCHEMAS)
    fast, slow = (client.post("/v1/scores", content=body, headers={"Content-Type": kind} | headers) for kind in kinds)
    assert message(fast) == message(slow)
    return fast


SEEN = ("responder_rate_365d", "followers", "acts_365d")


def test_tables_and_rows_are_decoded():
    table = decode_rows(
        b'{"table": {"features": ["acts_365d", "followers"], "values": [[1, null], [-2.5e3, 0]]}}', SEEN
    )
    rows = decode_rows(b'{"rows": [{"acts_365d": 1}, {"followers": 0, "acts_365d": -2.5e3}]}', SEEN)
    for body in (table, rows):
        np.testing.assert_array_equal(body, [[np.nan, np.nan, 1], [np.nan, 0, -2500]])
    other = decode_rows(b'{"table": {"features": ["acts_365d", "engagers_365d"], "values": [[1, 7]]}}', SEEN)
    np.testing.assert_array_equal(other, [[np.nan, np.nan, 1]])


LEFT = [
    b"", b"{}", b"[]", b"null", b"{", b"\xff", b'\xef\xbb\xbf{"rows": [{"acts_365d": 1}]}', b'{"rows": [{"\xff": 1}]}',
    b'{"rows": []}', b'{"table": {"features": [], "values": [[]]}}',
    b'{"rows": null}', b'{"rows": [1]}', b'{"rows": [{"acts_365d": 1}], "table": null, "more": 1}',
    b'{"rows": [{"acts_365d": 1}], "scope": "all"}', b'{"rows": [{"engagers_365d": 1}, {"followers": 1}]}',
    b'{"rows": [{"acts": 1}]}',
    b'{"rows": [{"acts_365d": true}]}', b'{"rows": [{"acts_365d": "1"}]}', b'{"rows": [{"acts_365d": [1]}]}',
    b'{"rows": [{"acts_365d": 1e16}]}', b'{"rows": [{"acts_365d": 1e999}]}', b'{"rows": [{"acts_365d": NaN}]}',
    b'{"rows": [{"acts_365d": 01}]}', b'{"rows": [{"\\ud800": 1}]}', b'{"rows": [{"acts_365d": 1}]} {}',
    b'{"rows": ' + b"[" * 100_000, b'{"users": ["user0001"]}', b'{"users": ["user0001"], "rows": [{"acts_365d": 1}]}',
    b'{"users": null, "rows": [{"acts_365d": 1}]}', b'{"table": {"features": ["acts_365d"]}}',
    b'{"table": {"features": ["acts_365d"], "values": []}}', b'{"table": {"features": [], "values": [[]]}, "rows": []}',
    b'{"table": {"features": ["acts_365d", "acts_365d"], "values": [[1, 1]]}}',
    b'{"table": {"features": ["acts_365d"], "values": [[1], [1, 2]]}}',
    b'{"table": {"features": ["acts_365d", "followers"], "values": [[1], [2]]}}',
    b'{"table": {"features": ["acts"], "values": [[1]]}}', b'{"table": {"features": [1], "values": [[1]]}}',
    b'{"table": {"features": ["acts_365d"], "values": [[1]], "more": 1}}',
]  # fmt: skip


@pytest.mark.parametrize("body", LEFT, ids=range(len(LEFT)))
def test_other_bodies_get_the_errors_of_the_schemas(client, body):
    assert decode_rows(body, SEEN) is None
    assert both(client, body).status_code in (200, 422)


def test_too_many_rows_get_the_errors_of_the_schemas(client):
    body = json.dumps({"table": {"features": ["responder_rate_365d"], "values": [[1]] * 10_001}}).encode()
    assert decode_rows(body, SEEN) is None
    assert both(client, body).status_code == 422


READ = [
    {"rows": [{"responder_rate_365d": 3}]},
    {"rows": [{"responder_rate_365d": 3}] * 3, "table": None},
    {"rows": [{"responder_rate_365d": 3}, {"responder_rate_365d": None}]},
    {"rows": [{"responder_rate_365d": 3}, {"followers": 3, "responder_rate_365d": 2}, {}]},
    {"rows": [{}]},
    {"table": {"features": ["followers"], "values": [[1]]}},
    {"table": {"features": ["followers", "responder_rate_365d"], "values": [[1, 2.5], [None, 0]]}},
    {"table": {"features": ["responder_rate_365d"], "values": [[1e15], [-1e15], [1e-320], [-0.0]]}},
    {"table": {"features": ["responder_rate_365d"], "values": [[k / 7] for k in range(1_500)]}},
]


@pytest.mark.parametrize("body", READ, ids=range(len(READ)))
def test_both_decoders_give_the_same_response(client, body):
    written = json.dumps(body).encode()
    assert decode_rows(written, SEEN) is not None
    both(client, written)


def test_valid_rows_skip_the_schemas(client, monkeypatch):
    monkeypatch.setattr(ScoreRequest, "model_validate", None)
    monkeypatch.setattr(scores, "_row_matrix", None)
    monkeypatch.setattr(scores, "_table_matrix", None)
    for body in READ[0], READ[-1]:
        assert client.post("/v1/scores", json=body).status_code == 200


numbers = st.none() | st.integers(-(10**15), 10**15) | st.floats(-1e15, 1e15)
bounds = st.none() | st.integers() | st.floats() | st.booleans() | st.text(max_size=2)
names = st.sampled_from([*CATALOGUE.names[:5], "responder_rate_365d", "a", "\N{SNOWMAN}"])
tables = st.fixed_dictionaries(
    {"features": st.lists(names, max_size=3), "values": st.lists(st.lists(numbers, max_size=3), max_size=4)}
)
rows = st.lists(st.dictionaries(names, numbers | bounds, max_size=3), max_size=4)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.fixed_dictionaries(
        {}, optional={"table": tables | st.none(), "rows": rows | st.none(), "users": st.just(["a"]), "x": st.none()}
    )
)
def test_any_body_gets_the_same_response_from_both_decoders(client, body):
    assert both(client, json.dumps(body).encode()).status_code in (200, 422)


@settings(max_examples=100, deadline=None)
@given(values=st.lists(numbers, min_size=1, max_size=20))
def test_numbers_are_decoded_exactly(values):
    names = tuple(CATALOGUE.names[: len(values)])
    body = decode_rows(json.dumps({"table": {"features": names, "values": [values]}}).encode(), names)
    expected = [np.nan if value is None else float(value) for value in values]
    np.testing.assert_array_equal(body, [expected])


def test_a_prohibited_purpose_is_refused_either_way(client):
    body = both(client, json.dumps(READ[0]).encode(), **{"Clout-Purpose": "credit scoring"})
    assert body.status_code == 403


def test_keys_are_required_either_way(home, champion):
    key = add_key(home, "dashboard", "read")
    client = TestClient(create_app(home), raise_server_exceptions=False)
    for headers, status in (
        ({"Authorization": f"Bearer {key}"}, 200),
        ({"Authorization": "Bearer no"}, 401),
        ({}, 401),
    ):
        assert both(client, json.dumps(READ[0]).encode(), **headers).status_code == status


def test_a_service_without_a_champion_says_so_either_way(tmp_path):
    client = TestClient(create_app(Home(tmp_path)), raise_server_exceptions=False)
    assert both(client, json.dumps(READ[0]).encode()).status_code == 503


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_content_types_in_any_spelling_are_accepted(client, kind):
    assert client.post("/v1/scores", content=json.dumps(READ[0]), headers={"Content-Type": kind}).status_code == 200


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("application/x-www-form-urlencoded", "sent with Content-Type: application/x-www-form-urlencoded"),  # curl -d
        ("text/plain", "sent with Content-Type: text/plain"),
        ("", "sent with no Content-Type"),
    ],
)
def test_other_content_types_are_refused(client, kind, message):
    response = client.post("/v1/scores", content=json.dumps(READ[0]), headers={"Content-Type": kind})
    assert response.status_code == 422
    assert response.json()["detail"] == f"body: {message}; expected Content-Type: application/json."
