"""The model in MLflow: any process that loads the registered model gets the predictions of the bundle."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pandas as pd
import pytest

from features.catalogue import CATALOGUE
from serving.runtime.watcher import Watcher
from training.home import Home, home_from_environment
from training.registry.mlflow_session import QUIET
from training.registry.model_registry import find_champion, promote, register
from training.registry.run_documents import report

LOAD = """
import sys
import mlflow
import pandas as pd
model = mlflow.pyfunc.load_model("models:/clout@champion")
model.predict(pd.read_parquet(sys.argv[1])).to_parquet(sys.argv[2])
"""
PATIENCE = 120


def start_service(home):
    """Return the service as it is after its start."""
    watcher = Watcher(home, lambda _: None)
    watcher.look()
    return watcher.service()


@pytest.fixture(scope="module")
def registered_home(tmp_path_factory, bundle):
    home = Home(tmp_path_factory.mktemp("registry") / "home")
    home.folder.mkdir()
    version = register(home, bundle, {"rows": 800}, {"score.auc": 0.9}, {"metrics": {"score": {"auc": 0.9}}}, {})
    promote(home, version)
    return home


@pytest.fixture
def environment(registered_home):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return (
        os.environ
        | QUIET
        | {
            "MLFLOW_TRACKING_URI": registered_home.registry_uri,
            "MLFLOW_REGISTRY_URI": registered_home.registry_uri,
            "PATH": path,
        }
    )


def test_the_loaded_champion_equals_the_registered_one(registered_home, bundle):
    assert find_champion(registered_home) == (bundle, "1")


def test_a_home_does_not_change_the_tracking_server_of_the_next(registered_home, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    find_champion(registered_home)
    assert home_from_environment(registered_home.folder) == registered_home


def test_the_service_loads_the_champion_and_its_figures(registered_home):
    service = start_service(registered_home)
    assert service.champion.version == "1"
    assert service.champion.figures == {"metrics": {"score": {"auc": 0.9}}}
    assert set(service.missing) == {"snapshot"}
    assert report(registered_home, "1") == service.champion.figures


def test_another_process_predicts_the_same(registered_home, environment, bundle, rows, tmp_path):
    input_file, output_file = tmp_path / "given.parquet", tmp_path / "made.parquet"
    rows[CATALOGUE.names].to_parquet(input_file)
    subprocess.run([sys.executable, "-c", LOAD, input_file, output_file], env=environment, check=True, timeout=PATIENCE)
    pd.testing.assert_frame_equal(pd.read_parquet(output_file), bundle.predict(rows), check_exact=True)


def test_damaged_store_is_reported_and_does_not_stop_the_service(tmp_path):
    (tmp_path / "mlflow.db").write_text("no database " * 1000)
    message = start_service(Home(tmp_path)).missing["champion"]
    assert "did not answer as expected" in message
    assert "not a database" in message


def test_unreachable_server_is_reported(tmp_path):
    message = start_service(Home(tmp_path, "http://127.0.0.1:1")).missing["champion"]
    assert "the registry at http://127.0.0.1:1 did not answer" in message


@pytest.fixture
def invocations(environment, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/clout@champion", "--port", str(port)]
    command += ["--host", "127.0.0.1", "--env-manager", "local", "--workers", "1"]
    with (tmp_path / "log").open("w+") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_until_ready(process, f"http://127.0.0.1:{port}/ping", tmp_path / "log")
            yield f"http://127.0.0.1:{port}/invocations"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)


def wait_until_ready(process, address, log):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(address, trust_env=False, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.3)
    raise AssertionError(f"mlflow models serve did not answer: {log.read_text()[-2000:]}")


def test_mlflow_serves_it(invocations, bundle, rows):
    features = rows[list(bundle.features)].head(50).round(0)
    features["credible_engagers_90d"] = None
    features.loc[3, :] = None
    features.loc[3, "credible_engagers_decayed_28d"] = 2
    split = json.loads(features.to_json(orient="split", index=False, double_precision=15))
    integers = [[None if v is None else int(v) for v in values] for values in split["data"]]
    answer = httpx.post(
        invocations,
        json={"dataframe_split": {"columns": split["columns"], "data": integers}},
        trust_env=False,
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    predictions = pd.DataFrame(answer.json()["predictions"])
    expected = bundle.predict(features.astype(float)).reset_index(drop=True)
    pd.testing.assert_frame_equal(predictions, expected, check_dtype=False, rtol=1e-12)
    count = len(bundle.features)
    for unnamed in (
        {"instances": [[1.0] * count]},
        {"inputs": [[1.0] * count]},
        {"dataframe_split": {"columns": ["A", "B"], "data": [[1, 2]]}},
        {"dataframe_records": [{}]},
    ):
        answer = httpx.post(invocations, json=unnamed, trust_env=False, timeout=60)
        assert answer.status_code == 400
        assert (
            f"the rows lack {count} of the model's {count} features: {next(iter(bundle.features))}"
            in answer.json()["message"]
        )
