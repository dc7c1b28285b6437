"""Fault injection: the service answers from the last good state, reports the fault in `/ready`, and recovers."""

import json
import os
import pickle
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from features.catalogue import CATALOGUE
from features.errors import OutputError, SnapshotError
from features.feature_table import KEYS
from features.utc import to_iso_utc
from serving.app import create_app
from serving.cli import main as command
from serving.middleware.api_keys import add_key, read_keys, remove_key
from serving.scoring import score_rows
from serving.snapshots.repository import list_snapshots, open_snapshot, write_snapshot
from tests import preloaded
from training.home import Home
from training.records.database import RecordsError
from training.registry.mlflow_session import QUIET
from training.registry.model_registry import promote, register

AS_OF = datetime(2017, 7, 30, tzinfo=UTC)
LATER = AS_OF + timedelta(days=28)
PATIENCE = 120
FILES = ["scores.parquet", "features.arrow", "baselines.json", "snapshot.json", "SHA256SUMS"]
FILES += [f"bundle/{name}" for name in ("bundle.json", "booster.txt", "bounded.txt")]

SERVE = """
import random, sys, threading, time
from datetime import datetime
from pathlib import Path
folder, server, clock, rate = sys.argv[1:]
offset, now, now_ns = 0.0, time.time, time.time_ns
class Stepping(datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.fromtimestamp(time.time(), tz)
def step():
    global offset
    steps = random.Random(0)
    while True:
        offset = steps.choice([-1e9, -3600.0, -1.0, 0.0, 1.0, 3600.0, 1e9])
        time.sleep(0.02)
if clock == "stepping":  # before anything else takes the clock by its name
    time.time, time.time_ns = lambda: now() + offset, lambda: now_ns() + int(offset * 1e9)
from serving.middleware.request_limits import Limits
from serving.app import serve
from serving.runtime import watcher
from training.home import Home
watcher.RETRY_SECONDS = 0.5
if clock == "stepping":
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in ("serving", "training") and getattr(module, "datetime", None) is datetime:
            module.datetime = Stepping
    threading.Thread(target=step, daemon=True).start()
serve(Home(Path(folder), server or None), "127.0.0.1", 0, Limits(rate=float(rate)), refresh=0.2)
"""

PUBLISHER = """
import json, os, pickle, signal, sys, time
from pathlib import Path
from serving.snapshots.repository import write_snapshot
from training.home import Home
home, as_of, bundle, version, contents = pickle.loads(Path(sys.argv[1]).read_bytes())
changing = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree")
touched = 0
def changes(event, details):
    writes = event == "open" and details[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    return (writes or event in changing) and str(home.snapshots) in str(details)
def killed_at(step):
    def hook(event, details):
        global touched
        if changes(event, details):
            touched += 1
            if touched == step:
                os.kill(os.getpid(), signal.SIGKILL)
    return hook
def publish(how):
    if "step" in how:
        sys.addaudithook(killed_at(how["step"]))
        write_snapshot(home, as_of, bundle, version, *contents[how["step"] % 2])
    while "seconds" in how:
        for content in contents:
            write_snapshot(home, as_of, bundle, version, *content)
for line in sys.stdin:
    how = json.loads(line)
    child = os.fork()
    if child == 0:
        publish(how)
        os._exit(0)
    if "seconds" in how:
        time.sleep(how["seconds"])
        os.kill(child, signal.SIGKILL)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def versions(tmp_path_factory, bundle):
    """A home with three registered versions; version 3 is champion and has scored."""
    home = Home(tmp_path_factory.mktemp("registry") / "home")
    home.folder.mkdir()
    for _ in range(3):
        register(home, bundle, {}, {}, {}, {})
    promote(home, "3")
    return home


@pytest.fixture
def complete_home(versions, home):
    """A home with a champion and a snapshot."""
    home.store.write_bytes(versions.store.read_bytes())
    return home


def permuted_scores(bundle, rows, seed, version="3"):
    """Return scores and rows of the same users with their features permuted."""
    order = np.random.default_rng(seed).permutation(len(rows))
    shuffled = rows[KEYS].join(rows[CATALOGUE.names].take(order).set_axis(rows.index))
    return score_rows(bundle, version, shuffled), shuffled


@pytest.fixture
def publish(bundle, rows):
    def publish(home, as_of, seed=5):
        return write_snapshot(home, as_of, bundle, "3", *permuted_scores(bundle, rows, seed))

    return publish


class ServiceClient:
    """A service in its own process, and a client for it."""

    def __init__(self, address, key=None):
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.client = httpx.Client(base_url=address, trust_env=False, timeout=PATIENCE, headers=headers)

    def score(self, user="user0001"):
        answer = self.client.get(f"/v1/users/{user}/score")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ready(self):
        answer = self.client.get("/ready")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def wait_for(self, holds):
        """Wait until `/ready` meets a condition; meanwhile it answers 200 and scores are served."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            state = self.ready()
            self.score()
            if holds(state):
                return state
            time.sleep(0.05)
        raise AssertionError(f"/ready still answers {state}")


@contextmanager
def running(command, log, popen=subprocess.Popen, **how):
    """Run a process with its output in a file; terminate it and its children at the end."""
    with log.open("w") as out:
        process = popen(command, stdout=out, stderr=out, start_new_session=True, **how)
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=PATIENCE)


def wait_for_start(process, log, find):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        if value := find():
            return value
        time.sleep(0.05)
    raise AssertionError(f"it did not start: {log.read_text()[-2000:]}")


@pytest.fixture
def start_service(tmp_path):
    """Start services, each in its own process, that log to `tmp_path / "service.log"`."""
    with ExitStack() as ended:

        def start(home, clock="steady", rate=0.0, key=None):
            log = tmp_path / "service.log"
            arguments = [str(home.folder), home.tracking_uri or "", clock, str(rate)]
            environment = os.environ | {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
            popen = preloaded.Popen if clock == "steady" else subprocess.Popen
            command = [sys.executable, "-c", SERVE, *arguments]
            process = ended.enter_context(running(command, log, popen, env=environment))
            listening = re.compile(r"Listening on (http://127\.0\.0\.1:\d+),")
            match = wait_for_start(process, log, lambda: listening.search(log.read_text()))
            service = ServiceClient(match[1], key)
            ended.callback(service.client.close)
            return service

        yield start


class TestKill:
    """Kill -9 while a snapshot is being published, repeatedly under the same name."""

    @pytest.fixture
    def contents(self, bundle, rows):
        return [permuted_scores(bundle, rows, seed) for seed in (1, 2)]

    @pytest.fixture
    def publisher(self, complete_home, tmp_path, bundle, contents):
        """Return a function that publishes in a process, kills it as requested, and returns its exit code."""
        arguments = tmp_path / "arguments"
        arguments.write_bytes(pickle.dumps((complete_home, AS_OF, bundle, "3", contents)))
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with preloaded.Popen([sys.executable, "-c", PUBLISHER, arguments], **pipes) as process:

            def publish_and_kill(**how):
                process.stdin.write(json.dumps(how) + "\n")
                process.stdin.flush()
                return int(process.stdout.readline())

            yield publish_and_kill
            process.stdin.close()

    @pytest.fixture
    def is_complete(self, complete_home, bundle, rows, contents):
        """Return a function that checks that the newest snapshot is complete and one of those published."""
        published = [score_rows(bundle, "3", rows), *(scores for scores, _ in contents)]
        published_scores = [
            dict(zip(scores["user"] + scores["scope"], scores["score"], strict=True)) for scores in published
        ]

        def holds():
            snapshot = open_snapshot(complete_home)
            stored = snapshot.scores.to_pandas()
            assert (
                dict(zip(stored["user"] + stored["scope"].astype(str), stored["score"], strict=True))
                in published_scores
            )

        return holds

    def test_disk_always_holds_a_complete_snapshot(self, complete_home, publisher, publish, is_complete):
        client = TestClient(create_app(complete_home), raise_server_exceptions=False)
        step = 1
        while (ended := publisher(step=step)) == -signal.SIGKILL:
            is_complete()
            client.app.state.watcher.look()
            assert (client.get("/ready").status_code, client.get("/ready").json()["stale"]) == (200, {})
            assert client.get("/v1/users/user0001/explanation").status_code == 200
            step += 1
        assert ended == 0
        assert step > 10, f"too few steps were interrupted: {step}"
        publish(complete_home, AS_OF)
        assert [folder.name for folder in complete_home.snapshots.iterdir()] == ["2017-07-30T000000Z_v3"]

    def test_the_service_survives_kills_at_random_moments(
        self, complete_home, publisher, start_service, is_complete, monkeypatch, tmp_path
    ):
        service, moments = start_service(complete_home), random.Random(0)
        for _ in range(15):
            assert publisher(seconds=moments.uniform(0.02, 0.4)) == -signal.SIGKILL
            is_complete()
            assert service.ready()["as_of"] == service.score()["as_of"] == to_iso_utc(AS_OF)
        acts = [(AS_OF - timedelta(days=day), f"user{k}", "reply", "ann") for day in (3, 40, 200) for k in range(5)]
        names = ("time", "actor", "verb", "target")
        events = pa.table([pa.array(column) for column in zip(*acts, strict=True)], names)
        pq.write_table(events, tmp_path / "events.parquet")
        words = [
            "score",
            str(tmp_path / "events.parquet"),
            "--as-of",
            to_iso_utc(LATER),
            "--home",
            str(complete_home.folder),
            "--force",
        ]
        monkeypatch.setattr(sys, "argv", ["clout", *words, "--out", str(tmp_path / "scores.parquet")])
        with pytest.raises(SystemExit) as ended:
            command.main()
        assert ended.value.code in (0, None)
        assert not list(complete_home.snapshots.glob(".*")), "files of killed publishers are deleted"
        answer = service.client.get("/v1/users/ann/score")
        until = time.monotonic() + PATIENCE
        while answer.status_code != 200 and time.monotonic() < until:
            time.sleep(0.05)
            answer = service.client.get("/v1/users/ann/score")
        assert answer.json()["as_of"] == to_iso_utc(LATER)
        assert service.ready()["stale"] == {}


class TestFullDisk:
    @pytest.fixture
    def disk(self, tmp_path):
        mount_point = tmp_path / "disk"
        mount_point.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", mount_point], capture_output=True)
        if mounted.returncode:
            pytest.skip(
                f"no small disk can be mounted here: {mounted.stderr.decode().strip()}; the next test stands in"
            )
        yield mount_point
        subprocess.run(["umount", "--lazy", mount_point], check=True)

    def test_a_full_disk_changes_nothing(self, complete_home, disk, start_service, publish):
        home = Home(shutil.copytree(complete_home.folder, disk / "home"))
        service = start_service(home)
        add_key(home, "first", "read")
        remove_key(home, "first")
        room = os.statvfs(disk)
        for free in (64 << 10, 0):
            filler = disk / f"filler{free}"
            filler.write_bytes(b"x" * (room.f_bavail * room.f_frsize - free))
            with pytest.raises((OutputError, RecordsError), match=r"cannot be (written|used)"):
                publish(home, LATER)
            room = os.statvfs(disk)
        with pytest.raises(RecordsError, match=r"full|disk I/O error"):
            add_key(home, "second", "read")
        assert [folder.name for folder in home.snapshots.iterdir()] == ["2017-07-30T000000Z_v3"]
        state = service.wait_for(lambda ready: ready["stale"] == {})
        assert state["as_of"] == to_iso_utc(AS_OF)
        for filler in disk.glob("filler*"):
            filler.unlink()
        assert read_keys(home) == {}
        publish(home, LATER)
        service.wait_for(lambda ready: ready["as_of"] == to_iso_utc(LATER))

    @pytest.mark.parametrize("room", [0, 1 << 10, 16 << 10, 64 << 10])
    def test_a_limit_of_file_size_changes_nothing(self, home, publish, room):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
        try:
            with pytest.raises(OutputError, match=r"cannot be written: .*File too large"):
                publish(home, LATER)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert [folder.name for folder in home.snapshots.iterdir()] == ["2017-07-30T000000Z_v3"]
        publish(home, LATER)
        assert to_iso_utc(open_snapshot(home).as_of) == to_iso_utc(LATER)


def truncate(content):
    return content[: len(content) // 2]


def empty(_):
    return b""


def flip_a_bit(content):
    """Flip one bit, of a digit if there is one, so that the content remains well-formed."""
    digits = [k for k, byte in enumerate(content) if 48 <= byte < 56]
    index = digits[len(digits) // 2] if digits else len(content) // 2
    return content[:index] + bytes([content[index] ^ 1]) + content[index + 1 :]


class TestCorruptSnapshot:
    """The newest snapshot is damaged."""

    @pytest.fixture
    def client(self, complete_home):
        return TestClient(create_app(complete_home), raise_server_exceptions=False)

    @pytest.mark.parametrize("damaged", [truncate, empty, flip_a_bit])
    @pytest.mark.parametrize("file", FILES)
    def test_the_previous_snapshot_is_served_until_the_damaged_one_is_rewritten(
        self, complete_home, client, publish, file, damaged
    ):
        newer = publish(complete_home, LATER)
        path = newer / file
        path.write_bytes(damaged(path.read_bytes()))
        client.app.state.watcher.look()
        state = client.get("/ready").json()
        assert (state["status"], state["as_of"], set(state["stale"])) == ("ready", to_iso_utc(AS_OF), {"snapshot"})
        assert "the snapshot is damaged" in state["stale"]["snapshot"]["detail"]
        assert client.get("/v1/users/user0001/explanation").json()["as_of"] == to_iso_utc(AS_OF)
        publish(complete_home, LATER)
        client.app.state.watcher.look()
        state = client.get("/ready").json()
        assert (state["as_of"], state["stale"]) == (to_iso_utc(LATER), {})

    def test_any_flipped_bit_is_detected(self, home):
        (folder,) = list_snapshots(home)
        chosen = random.Random(0)
        assert {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()} == set(FILES)
        for file in FILES:
            before = (folder / file).read_bytes()
            for _ in range(5):
                index, bit = chosen.randrange(len(before)), 1 << chosen.randrange(8)
                (folder / file).write_bytes(before[:index] + bytes([before[index] ^ bit]) + before[index + 1 :])
                with pytest.raises(SnapshotError, match="the snapshot is damaged"):
                    open_snapshot(home)
            (folder / file).write_bytes(before)
        assert open_snapshot(home).score("user0001")

    def test_a_snapshot_without_checksums_of_an_older_version_is_read(self, home):
        (folder,) = list_snapshots(home)
        (folder / "SHA256SUMS").unlink()
        assert open_snapshot(home).score("user0001")


class TestRegistryOutage:
    """A real MLflow server is stopped and started again."""

    @pytest.fixture
    def server(self, complete_home, tmp_path):
        """Return a function that starts the server of the home's registry, always at the same address."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"http://127.0.0.1:{free.getsockname()[1]}"

        @contextmanager
        def start():
            words = ["server", "--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--workers", "1"]
            words += ["--backend-store-uri", f"sqlite:///{complete_home.store}", "--no-serve-artifacts"]
            log = tmp_path / "server.log"
            environment = os.environ | QUIET | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
            command = [sys.executable, "-m", "mlflow", *words]
            with running(command, log, preloaded.Popen, env=environment, cwd=tmp_path) as process:
                wait_for_start(process, log, lambda: answers(f"{address}/health"))
                yield Home(complete_home.folder, address)

        return start

    def test_the_service_recovers_when_the_registry_does(self, server, start_service, publish):
        with server() as there:
            service = start_service(there)
            assert (service.ready()["model_version"], service.ready()["stale"]) == ("3", {})
        state = service.wait_for(lambda ready: ready["stale"])
        assert set(state["stale"]) == {"champion"}
        assert f"the registry at {there.tracking_uri} did not answer" in state["stale"]["champion"]["detail"]
        row = {"rows": [{"responder_rate_365d": 1}]}
        assert service.client.post("/v1/scores", json=row).json()["model_version"] == "3"
        publish(there, LATER)
        state = service.wait_for(lambda ready: ready["as_of"] == to_iso_utc(LATER))
        assert set(state["stale"]) == {"champion"}
        with server() as there:
            service.wait_for(lambda ready: not ready["stale"])
            promote(there, "2")
            service.wait_for(lambda ready: ready["model_version"] == "2")
        another = start_service(there)
        state = another.wait_for(lambda ready: "champion" in ready["stale"])
        assert (state["model_version"], set(state["stale"])) == ("2", {"champion", "snapshot"})
        assert another.client.post("/v1/scores", json=row).json()["model_version"] == "2"


def answers(address):
    with suppress(httpx.TransportError):
        return httpx.get(address, trust_env=False, timeout=5).status_code == 200
    return False


class TestSteppingClock:
    """A clock that jumps by seconds, hours and decades, fifty times a second."""

    def test_snapshots_keys_logs_and_metrics_survive_clock_steps(self, complete_home, start_service, publish, tmp_path):
        """All of these use one service, because it imports everything after the clock was patched."""
        key = add_key(complete_home, "kept", "admin")
        service = start_service(complete_home, "stepping", key=key)
        self._check_snapshots(service, complete_home, publish)
        self._check_keys_logs_and_metrics(service, complete_home, tmp_path / "service.log")

    def _check_snapshots(self, service, complete_home, publish):
        newer = publish(complete_home, LATER)
        os.utime(newer, (0, 0))
        service.wait_for(lambda ready: ready["as_of"] == to_iso_utc(LATER))
        newest = publish(complete_home, LATER + timedelta(days=1))
        content = (newest / "scores.parquet").read_bytes()
        (newest / "scores.parquet").write_bytes(b"")
        publish(complete_home, LATER)  # another publication, so that the service looks at the damaged one
        service.wait_for(lambda ready: "snapshot" in ready["stale"] or ready["as_of"] != to_iso_utc(LATER))
        (newest / "scores.parquet").write_bytes(content)
        service.wait_for(lambda ready: not ready["stale"] and ready["as_of"] == to_iso_utc(LATER + timedelta(days=1)))

    def test_rate_limits_do_not_depend_on_the_wall_clock(self, complete_home, start_service):
        service = start_service(complete_home, "stepping", rate=2.0)
        ask = lambda: service.client.get("/v1/users/user0001/score").status_code  # noqa: E731
        start, answered, until = time.monotonic(), [], time.monotonic() + 2.5
        while time.monotonic() < until:
            answered.append(ask())
        good, seconds = answered.count(200), time.monotonic() - start
        assert set(answered) == {200, 429}
        assert 4 <= good <= 4 + 2 * seconds + 1, "a burst of four, then two per second"
        time.sleep(0.6)
        assert ask() == 200

    def _check_keys_logs_and_metrics(self, service, complete_home, log):
        for _ in range(3):
            other = {"Authorization": f"Bearer {add_key(complete_home, 'other', 'read')}"}
            assert service.client.get("/v1/users/user0001/score", headers=other).status_code == 200
            remove_key(complete_home, "other")
            assert service.client.get("/v1/users/user0001/score", headers=other).status_code == 401
        for _ in range(30):
            service.score()
            time.sleep(0.02)
        figures = service.client.get("/metrics").text
        seconds = [float(line.split()[-1]) for line in figures.splitlines() if "request_seconds_sum" in line]
        assert seconds
        assert all(0 <= duration < PATIENCE for duration in seconds)
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        requests = [line for line in lines if line["logger"] == "clout.requests"]
        assert len(requests) == len({line["request_id"] for line in requests}) >= 8
        assert all(0 <= line["ms"] < PATIENCE * 1000 for line in requests)
        years = {line["time"][:4] for line in requests}
        assert len(years) > 1, f"the clock did not step: {years}"
