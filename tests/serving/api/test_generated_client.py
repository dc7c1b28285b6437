"""A client that openapi-python-client generates from the document: it has every route, and each of them answers."""

import importlib
import inspect
import json
import sys
from datetime import UTC, datetime
from http import HTTPStatus
from importlib.util import find_spec

import httpx
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from serving.app import create_app
from serving.middleware.api_keys import add_key
from serving.snapshots.repository import write_snapshot
from tests.serving.conftest import SELECTION_MODEL, stored_audiences
from training.home import Home
from training.selection.selection_model import with_selection

pytestmark = pytest.mark.skipif(
    find_spec("openapi_python_client") is None, reason="the package openapi-python-client is absent"
)
NEWEST, EARLIER = datetime(2017, 7, 30, tzinfo=UTC), datetime(2017, 7, 2, tzinfo=UTC)
TAGS = ("health", "model", "rights", "scores", "users")
PACKAGE = "clout_client"


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """Generate the client, and make it importable."""
    from openapi_python_client.cli import app as generate

    folder = tmp_path_factory.mktemp("client")
    document = TestClient(create_app(Home(folder / "home"))).get("/openapi.json").json()
    (folder / "openapi.json").write_text(json.dumps(document))
    (folder / "config.yaml").write_text("post_hooks: []\n")
    arguments = ["generate", "--path", folder / "openapi.json", "--config", folder / "config.yaml", "--meta", "none"]
    result = CliRunner().invoke(generate, [*map(str, arguments), "--output-path", str(folder / PACKAGE)])
    assert result.exit_code == 0, result.output
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield result.output, document
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


@pytest.fixture
def call(generated, home, bundle, scores, rows, champion):
    """Call a route of the service by its operation id, through the client."""
    write_snapshot(home, EARLIER, bundle, "3", scores, rows)
    selecting = with_selection(bundle, SELECTION_MODEL)
    write_snapshot(home, NEWEST, selecting, "3", scores, rows, stored_audiences(len(rows)))
    key = add_key(home, "ann", "admin")
    service = TestClient(create_app(home), raise_server_exceptions=False)
    client = importlib.import_module(PACKAGE).AuthenticatedClient(base_url="http://testserver", token=key)
    client.set_httpx_client(service)
    service.headers["Authorization"] = f"Bearer {key}"

    def send(operation, *arguments, **named):
        return modules()[operation].sync_detailed(*arguments, client=client, **named)

    return send


def modules():
    """Return the modules of the client's routes by operation id."""
    packages = [importlib.import_module(f"{PACKAGE}.api.{tag}") for tag in TAGS]
    names = [
        (package.__name__, file.stem)
        for package in packages
        for file in sorted(importlib.resources.files(package).iterdir())
        if file.suffix == ".py" and file.stem != "__init__"
    ]
    return {name: importlib.import_module(f"{package}.{name}") for package, name in names}


def models():
    return importlib.import_module(f"{PACKAGE}.models")


def test_nothing_is_dropped(generated):
    output, document = generated
    assert "WARNING" not in output
    assert "Unable" not in output
    operations = {item["operationId"] for path in document["paths"].values() for item in path.values()}
    assert set(modules()) == operations
    names = {name for name, _ in inspect.getmembers(models(), inspect.isclass)}
    assert set(document["components"]["schemas"]) <= names


def test_scores_are_read(call):
    score = call("get_score", "a/b").parsed
    assert (score.user, score.as_of) == ("a/b", NEWEST)
    assert {score.status, score.evidence} == {
        models().Status.INSUFFICIENT_EVIDENCE,
        models().Evidence.INSUFFICIENT_EVIDENCE,
    }
    assert (score.interval.low <= score.interval.high, score.interval.level) == (True, 0.9)
    assert call("get_score", "user0001", scope="topic:birds", as_of=EARLIER).parsed.as_of == EARLIER
    assert call("get_score", "nobody").parsed.type_ == "urn:clout:problem:unknown-user"


def test_batches_are_scored(call, rows):
    request = models().ScoreRequest
    batch = call("score_batch", body=request(users=["user0001", "nobody"], as_of=EARLIER)).parsed
    assert ([score.user for score in batch.users], batch.unknown, batch.as_of) == (["user0001"], ["nobody"], EARLIER)
    table = models().Table(features=["responder_rate_365d"], values=[[3.0], [9.0]])
    low, high = call("score_batch", body=request(table=table)).parsed.scores
    assert low.score < high.score
    assert low.interval.level == high.interval.level == 0.9


def test_users_are_searched(call):
    page = call("search_users", limit=2, min_score=0.0).parsed
    assert len(page.users) == 2
    following = call("search_users", cursor=page.next_cursor).parsed
    assert {score.user for score in page.users}.isdisjoint(score.user for score in following.users)


def test_scores_are_explained(call):
    explanation = call("get_explanation", "user0001").parsed
    total = explanation.base + sum(line.points for line in explanation.lines)
    assert total == pytest.approx(explanation.unclipped, abs=1e-6)
    assert explanation.percentile == call("get_score", "user0001").parsed.percentile
    assert explanation.story[0].topic == "score"
    (advice,) = (section for section in explanation.story if section.topic == "change")
    assert advice.sentences[0] == explanation.possible_changes[0].sentence
    history = call("get_history", "user0001").parsed
    assert [score.as_of for score in history.scores] == [EARLIER, NEWEST]
    change = call("get_change", "user0001", from_=EARLIER, to=NEWEST).parsed
    assert (change.before.as_of, change.after.as_of) == (EARLIER, NEWEST)
    what_if = call("get_what_if", "user0001", set_=["days_of_absence=3"]).parsed
    assert what_if.asked.changes[0].feature == "days_of_absence"
    assert what_if.asked.interval.level == what_if.interval.level


def test_groups_are_selected(call):
    group = call("select_users", body=models().SelectionBody(k=3, exclude=["user0001"])).parsed
    assert [member.reach for member in group.members][-1] == pytest.approx(group.reach)
    assert "user0001" not in {member.user for member in group.members}


def test_cases_are_resolved(call):
    contested = call("open_case", "user0001", body=models().Contest(message="I was there.")).parsed
    assert call("get_case_outcome", "user0001", contested.case).parsed.message == "I was there."
    assert [case.case for case in call("list_cases").parsed.cases] == [contested.case]
    assert call("get_case", contested.case).parsed.case.state == models().State.OPEN
    decision = models().Resolution(decision=models().Decision.STANDS, reasons="Nothing is missing.")
    resolved = call("resolve_case", contested.case, body=decision).parsed
    assert (resolved.state, resolved.resolved.year >= 2017) == (models().State.RESOLVED, True)


def test_users_opt_out_and_are_deleted(call):
    assert call("opt_out_user", "user0002").parsed.opted_out
    assert call("get_score", "user0002").status_code == HTTPStatus.GONE
    assert not call("revoke_opt_out", "user0002").parsed.opted_out
    receipt = call("delete_user", "a/b").parsed
    assert call("get_receipt", receipt.receipt).parsed.asked == receipt.asked
    reads = call("get_reads", "user0002").parsed
    assert [(read.status, read.users) for read in reads.reads] == [(200, 1), (410, 1), (200, 1)]


def test_the_service_describes_itself(call):
    model = call("get_model").parsed
    assert (model.scale.points_per_nat > 0, model.intervals.level) == (True, 0.9)
    assert call("get_catalogue").parsed.features[0].sentence
    assert call("get_purposes").parsed.header == "Clout-Purpose"
    assert call("get_health").parsed.status == "ok"
    assert call("get_readiness").parsed.as_of == NEWEST
    assert call("get_metrics").status_code == HTTPStatus.OK


def test_every_route_is_called_here(generated):
    _, document = generated
    source = inspect.getsource(sys.modules[__name__])
    for path in document["paths"].values():
        for operation in path.values():
            assert f'call("{operation["operationId"]}"' in source


def test_httpx_is_what_the_client_uses(generated):
    client = importlib.import_module(PACKAGE).Client(base_url="http://testserver")
    assert isinstance(client.get_httpx_client(), httpx.Client)
