"""The contract: the service answers every request as its OpenAPI document says.

Schemathesis generates the requests from the document: its examples, each parameter at and beyond its limits, and random
valid and invalid ones, the same in every run. The home contains the user and the instants of the examples, so that many
requests get status 200. Its snapshots have audiences, so that groups can be selected.
"""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi import checks

from serving.app import create_app
from serving.middleware.api_keys import add_key
from serving.middleware.request_limits import Limits
from serving.runtime import state
from serving.scoring import score_rows
from serving.snapshots.repository import write_snapshot
from tests.serving.conftest import SELECTION_MODEL, stored_audiences
from training.home import Home
from training.selection.selection_model import with_selection

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


def documented(random_requests):
    """Return the OpenAPI document as a source of requests; it does not depend on the home."""
    with TemporaryDirectory() as folder:
        app = create_app(Home(Path(folder)))
        patch = schemathesis.openapi.from_dict(app.openapi(), config=SchemathesisConfig())
        app.state.audit_log.close()
    patch.config.generation.update(
        deterministic=True, database="none", max_examples=random_requests, with_security_parameters=False
    )
    return patch


OPEN, GUARDED = documented(random_requests=25), documented(random_requests=4)


@pytest.fixture(scope="module")
def start_service(tmp_path_factory, bundle, rows):
    """Return a function that starts services, each on its own home with the user and both instants of the examples."""
    home = Home(tmp_path_factory.mktemp("contract") / "home")
    users = pd.concat([rows, rows[rows["user"] == "user0001"].assign(user="ann")], ignore_index=True)
    scores, selecting = score_rows(bundle, "3", users), with_selection(bundle, SELECTION_MODEL)
    for as_of in ("2017-07-02", "2017-07-30"):
        write_snapshot(home, pd.Timestamp(as_of, tz="UTC"), selecting, "3", scores, users, stored_audiences(len(users)))

    def start(scope=None):
        own = Home(shutil.copytree(home.folder, tmp_path_factory.mktemp("service") / "home"))
        key = add_key(own, scope, scope) if scope else None
        return without_lifespan(create_app(own, guarded=scope is not None, limits=Limits(rate=0))), key

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "load_champion", lambda *_: (bundle, "3"))
        patch.setattr(state, "report", lambda *_: None)
        yield start


def without_lifespan(app):
    """Return the app without its lifespan, which Schemathesis would end only with the process."""

    async def answer_request(scope, receive, send):
        assert scope["type"] == "http"
        await app(scope, receive, send)

    return answer_request


@pytest.fixture(scope="module")
def open_service(start_service):
    return start_service()[0]


@pytest.fixture(scope="module")
def succeeded():
    """Collect per operation whether any answer was a success; fail if fewer than half were."""
    services = {}
    yield services
    assert 2 * sum(services.values()) > len(services), f"hardly any operation succeeded: {services}"


@pytest.fixture(scope="module", params=["read", "review", "admin"])
def guarded_service(start_service, request):
    """A service with keys, and the headers of a client with a key of one scope."""
    app, key = start_service(request.param)
    return app, {"Authorization": f"Bearer {key}"}


@OPEN.parametrize()
def test_every_answer_is_as_documented(case, open_service, succeeded):
    answer = case.call_and_validate(app=open_service, checks=CHECKS)
    succeeded[case.operation.label] = succeeded.get(case.operation.label, False) or answer.status_code < 300


@GUARDED.parametrize()
def test_with_keys_every_answer_is_as_documented(case, guarded_service):
    app, key = guarded_service
    case.call_and_validate(app=app, headers=key, checks=CHECKS)
