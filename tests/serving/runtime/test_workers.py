"""Several worker processes behind one address: clients see one service, whatever happens to a worker."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from features.errors import CloutError
from serving.app import serve
from serving.middleware.api_keys import add_key
from serving.middleware.rate_limit import SLOTS, Buckets, SharedBuckets
from tests import preloaded
from training.home import Home

ROOT = Path(__file__).parents[3]
SCORE = "/v1/users/user0001/score"
ROUTE = "/v1/users/{user}/score"
OF_SCORE = frozenset({"route": ROUTE, "method": "GET", "status": "200"}.items())
SERVE = """
import sys
from pathlib import Path
from serving.app import WIRE, serve
from serving.middleware.request_limits import Limits
from tests.preloaded import fork_workers
from training.home import Home
if __name__ == "__main__":
    rate = float(sys.argv[2])
    if sys.argv[6] == "forked":
        fork_workers()
    WIRE["timeout_graceful_shutdown"] = int(sys.argv[4])
    WIRE["timeout_worker_healthcheck"] = int(sys.argv[5])
    serve(Home(Path(sys.argv[1])), "127.0.0.1", 0, Limits(rate), refresh=0.2, workers=int(sys.argv[3]))
"""


class Service:
    """A service in processes of its own, and its log."""

    def __init__(self, process):
        self.process, self.lines = process, []
        self._read = threading.Thread(target=self._follow, daemon=True)
        self._read.start()
        self.url = self.wait_for_log(r"Listening on (http://127\.0\.0\.1:\d+)")[0]
        self.client = httpx.Client(base_url=self.url, trust_env=False, timeout=30)

    def _follow(self):
        for line in self.process.stderr:
            self.lines.append(json.loads(line))

    def wait_for_log(self, pattern, times=1):
        """Wait until the log matches a pattern the given number of times; return the matches."""
        until = time.monotonic() + 120
        while time.monotonic() < until:
            values = [match[match.re.groups] for line in self.lines if (match := re.search(pattern, line["message"]))]
            if len(values) >= times:
                return values
            time.sleep(0.02)
        raise AssertionError(f"the log did not match {pattern!r} {times} times: {self.lines}")

    def workers(self, times):
        """Wait until the given number of workers have started; return the process ids of all that have."""
        return [int(pid) for pid in self.wait_for_log(r"Started server process \[(\d+)\]", times)]

    def living_workers(self):
        """Return the process ids of the two living workers, and how many workers have started so far."""
        pids = self.workers(2)
        first, second = (pid for pid in pids if alive(pid))
        return first, second, len(pids)

    def score_count(self):
        """Return how many scores all workers together have answered."""
        return samples(self.ask("/metrics").text).get(("clout_requests_total", OF_SCORE), 0)

    def ask(self, path, headers=None):
        """Send a request over a new connection, which any worker may accept."""
        return self.client.get(path, headers={"connection": "close"} | (headers or {}))

    def end(self):
        self.process.terminate()
        return self.process.wait(120)


@contextmanager
def start(home, workers=2, rate=0.0, grace=25, health_check=60, forked=True):
    """Start a service with workers in its own process, and end it; forked workers start sooner than spawned ones."""
    script = home.folder.with_name("serve_it.py")
    script.write_text(SERVE)
    words = [home.folder, rate, workers, grace, health_check, "forked" if forked else "spawned"]
    with preloaded.Popen(
        [sys.executable, script, *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:
        try:
            yield Service(process)
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(120)
            finally:
                process.kill()


@pytest.fixture
def start_service(home):
    """Return a function that starts a service for one test."""
    return partial(start, home)


@pytest.fixture(scope="module")
def service(scored_home, tmp_path_factory):
    """Two workers shared by several tests, which leave them running; started like those of users, without forking."""
    home = Home(shutil.copytree(scored_home.folder, tmp_path_factory.mktemp("workers") / "home"))
    with start(home, forked=False) as service:
        service.workers(2)
        yield service


class ClientThread(threading.Thread):
    """A thread that sends requests over one connection, first without a pause, and records their results."""

    def __init__(self, url, stop, headers=None):
        super().__init__()
        self.url, self.stop, self.headers, self.results, self.pause = url, stop, headers, [], 0.0
        self.start()

    def run(self):
        with httpx.Client(base_url=self.url, trust_env=False, timeout=30, headers=self.headers) as client:
            while not self.stop.wait(self.pause):
                begun = time.monotonic()
                try:
                    self.results.append((begun, client.get(SCORE).status_code))
                except httpx.TransportError as error:
                    self.results.append((begun, type(error).__name__))
                    if isinstance(error, httpx.ConnectError):
                        return

    def failed(self):
        return [what for _, what in self.results if what != 200]


@contextmanager
def running_clients(url, callers):
    stop = threading.Event()
    threads = [ClientThread(url, stop) for _ in range(callers)]
    try:
        yield threads
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)


def wait_for_answers(callers, least):
    """Wait until each client has received the given number of further answers."""
    counts = [len(caller.results) + least for caller in callers]
    until = time.monotonic() + 30
    while any(len(caller.results) < count for caller, count in zip(callers, counts, strict=True)):
        assert time.monotonic() < until, "too few answers within 30 seconds"
        time.sleep(0.02)


def samples(text):
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_two_workers_are_one_service_to_clients_and_prometheus(service):
    first, second, _ = service.living_workers()
    before = service.score_count()
    for _ in range(60):
        assert service.ask(SCORE).status_code == 200
    scrapes = [samples(service.ask("/metrics").text) for _ in range(12)]
    assert [worker["clout_requests_total", OF_SCORE] for worker in scrapes] == [before + 60] * 12
    count = "clout_request_seconds_count", frozenset({("route", ROUTE)})
    assert len({worker[count] for worker in scrapes}) == 1
    assert scrapes[0][count] >= before + 60  # includes refused requests
    assert {worker["clout_workers", frozenset()] for worker in scrapes} == {2}
    assert {worker["clout_users", frozenset()] for worker in scrapes} == {309}
    loaded = "clout_loads_total", frozenset({("part", "snapshot"), ("result", "loaded")})
    assert {worker[loaded] for worker in scrapes} == {len(service.workers(2))}
    workers = [line["worker"] for line in service.lines if line["logger"] == "clout.requests"]
    assert set(workers[-60:]) <= {first, second}
    assert all("worker" in line for line in service.lines if line["message"].startswith("Started server"))


def test_a_killed_worker_is_restarted_and_other_requests_succeed(service):
    first, second, starts = service.living_workers()
    before = service.score_count()
    with running_clients(service.url, callers=4) as callers:
        wait_for_answers(callers, 3)
        os.kill(first, signal.SIGKILL)
        for caller in callers:  # leave processor time for the new worker to start
            caller.pause = 0.1
        service.workers(starts + 1)
        wait_for_answers(callers, 2)
    for caller in callers:
        assert len(caller.failed()) <= 1, caller.failed()  # only the request that the killed worker was answering
        assert caller.results[-1][1] == 200
    assert {first, second} & {*service.living_workers()[:2]} == {second}
    scrapes = samples(service.ask("/metrics").text)
    assert scrapes["clout_workers", frozenset()] == 2
    answered = sum(len(caller.results) - len(caller.failed()) for caller in callers)
    # Counts of the killed worker are preserved; they may include answers that were not delivered.
    assert answered <= scrapes["clout_requests_total", OF_SCORE] - before <= answered + 4


def test_stopping_under_load_answers_every_running_request(start_service):
    with start_service() as service:
        service.workers(2)
        with running_clients(service.url, callers=4) as callers:
            wait_for_answers(callers, 3)
            stopped = time.monotonic()
            assert service.end() == 0
        for caller in callers:
            assert sum(what == 200 for _, what in caller.results) > 2
            failed = [(begun, what) for begun, what in caller.results if what != 200]
            assert all(begun >= stopped - 0.05 for begun, _ in failed), failed  # no request sent before the stop failed
            assert {what for _, what in failed} <= {"ConnectError", "ReadError", "RemoteProtocolError"}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_long_running_request_is_finished_and_new_ones_are_refused(start_service, workers):
    with start_service(workers=workers) as service:
        service.workers(workers)
        with httpx.Client(base_url=service.url, trust_env=False, timeout=30) as client:
            sent = threading.Event()

            def body():
                yield b'{"users": ["user0001"'
                sent.set()
                time.sleep(4.0)  # the service is stopped meanwhile
                yield b', "a/b"]}'

            answers = []
            post = threading.Thread(
                target=lambda: answers.append(
                    client.post("/v1/scores", content=body(), headers={"content-type": "application/json"})
                )
            )
            post.start()
            sent.wait(20)
            time.sleep(0.5)
            service.process.terminate()
            service.wait_for_log("Shutting down", times=workers)
            time.sleep(0.3)
            with pytest.raises(httpx.ConnectError):
                service.ask("/health")
            post.join(30)
        assert [answer.status_code for answer in answers] == [200]
        assert [worker["user"] for worker in answers[0].json()["users"]] == ["user0001", "a/b"]
        assert service.process.wait(30) == (0 if workers > 1 else -signal.SIGTERM)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_endless_request_delays_the_stop_no_longer_than_the_limit(start_service, workers):
    with start_service(workers=workers, grace=1) as service:
        service.workers(workers)
        port = int(service.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.sendall(b"POST /v1/scores HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
            slow.sendall(b'Content-Length: 100\r\n\r\n{"users": [')
            time.sleep(1.0)
            stopped = time.monotonic()
            service.end()
            assert 0.5 < time.monotonic() - stopped < 15


def test_workers_end_if_their_parent_is_killed(start_service):
    with start_service() as service:
        pids = service.workers(2)
        service.ask(SCORE)
        service.process.kill()
        until = time.monotonic() + 30
        while any(alive(pid) for pid in pids):
            assert time.monotonic() < until, "workers still run"
            time.sleep(0.1)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_rate_is_shared_by_workers(start_service, home):
    with start_service(workers=2, rate=10) as service:
        service.workers(2)
        answered = Counter()
        begun = time.monotonic()
        while time.monotonic() - begun < 4:
            answered[service.ask(SCORE).status_code] += 1
            time.sleep(0.005)
        seconds = time.monotonic() - begun
        assert answered[429] > 0
        assert answered[200] <= 20 + 10 * seconds + 1  # a burst of two seconds' requests, then ten per second
        assert answered[200] >= 10 * seconds


def test_an_added_key_is_required_by_every_worker(start_service, home):
    with start_service() as service:
        service.workers(2)
        assert service.ask(SCORE).status_code == 200
        key = add_key(home, "dashboard", "read")
        assert {service.ask(SCORE).status_code for _ in range(20)} == {401}
        assert {service.ask(SCORE, headers={"Authorization": f"Bearer {key}"}).status_code for _ in range(20)} == {200}


def test_a_worker_that_hangs_is_restarted(start_service):
    with start_service(health_check=15) as service:
        first, second, starts = service.living_workers()
        service.ask(SCORE)
        os.kill(first, signal.SIGSTOP)
        third = service.workers(starts + 1)[-1]
        assert not alive(first)
        assert {service.ask(SCORE).status_code for _ in range(20)} == {200}
        assert {*service.living_workers()[:2]} == {second, third}


def test_ctrl_c_ends_all_workers(start_service):
    with start_service() as service:
        pids = service.workers(2)
        service.ask(SCORE)
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(60) == 0
        assert not any(alive(pid) for pid in pids)


@pytest.mark.parametrize("workers", [0, -1, 65])
def test_an_invalid_number_of_workers_is_refused(workers):
    with pytest.raises(CloutError, match=f"cannot answer with {workers} workers; expected 1 to 64"):
        serve(Home("nowhere"), "127.0.0.1", 0, workers=workers)


def test_errors_are_raised_before_any_worker_starts(home):
    (home.folder / "keys.json").write_text("nonsense")
    with pytest.raises(CloutError, match="is damaged"):
        serve(home, "127.0.0.1", 0, workers=2)
    (home.folder / "keys.json").unlink()
    with pytest.raises(CloutError, match="cannot check for newer parts every 0 seconds"):
        serve(home, "127.0.0.1", 0, refresh=0, workers=2)


class TestSharedBuckets:
    def test_they_equal_the_buckets_of_one_process(self, tmp_path):
        now = [0.0]
        one, single = SharedBuckets(2.0, tmp_path / "b", lambda: now[0]), Buckets(2.0, lambda: now[0])
        other = SharedBuckets(2.0, tmp_path / "b", lambda: now[0])
        for k, step in enumerate([0, 0, 0, 0, 0, 0.25, 0.25, 0, 0.5, 0, 3.0, 0, 0, 0, 0, 0]):
            now[0] += step
            assert (one, other)[k % 2].take("ann") == pytest.approx(single.take("ann"))

    def test_callers_do_not_share(self, tmp_path):
        buckets = SharedBuckets(0.5, tmp_path / "b", lambda: 0.0)
        assert [buckets.take(f"caller{k}") for k in range(20)] == [0.0] * 20
        assert all(buckets.take(f"caller{k}") > 0 for k in range(20))

    def test_an_evicted_caller_starts_with_a_full_bucket(self, tmp_path):
        buckets = SharedBuckets(0.5, tmp_path / "b", lambda: 0.0)
        buckets.take("ann")
        for k in range(20 * SLOTS):
            buckets.take(f"caller{k}")
        assert buckets.take("ann") == 0.0

    def test_any_text_names_a_caller(self, tmp_path):
        buckets = SharedBuckets(0.5, tmp_path / "b", lambda: 0.0)
        assert [buckets.take(name) for name in ("", "ünï\ud800", "\0", "x" * 10_000)] == [0.0] * 4

    def test_processes_take_from_one_bucket(self, tmp_path):
        code = (
            "import sys; from pathlib import Path; from serving.middleware.rate_limit import SharedBuckets\n"
            "buckets = SharedBuckets(500.0, Path(sys.argv[1]), lambda: 1.0)\n"
            "print(sum(buckets.take('ann') == 0 for _ in range(900)))"
        )
        command = [sys.executable, "-c", code, str(tmp_path / "b")]
        running = [preloaded.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        assert sum(int(process.communicate()[0]) for process in running) == 1000


REPORT = """
import sys
from pathlib import Path
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from serving.runtime.metrics import WorkerMetrics
ready, users, loads, memory, version = sys.argv[2:]

class State:
    def collect(self):
        yield GaugeMetricFamily("clout_ready", "Ready.", float(ready))
        yield GaugeMetricFamily("clout_users", "Users.", float(users))
        yield GaugeMetricFamily("process_resident_memory_bytes", "Memory.", float(memory))
        stale = GaugeMetricFamily("clout_stale", "Stale.", labels=["part"])
        stale.add_metric(["snapshot"], 1 - float(ready))
        yield stale
        yield CounterMetricFamily("clout_loads", "Loads.", float(loads))
        yield InfoMetricFamily("clout_snapshot", "The snapshot.", {"model_version": version})

own = CollectorRegistry()
own.register(State())
metrics = WorkerMetrics(own, Path(sys.argv[1]))
metrics.publish()
version = "4"
metrics.publish()
print("published", flush=True)
sys.stdin.read()
"""


class TestWorkerMetrics:
    """Several processes report metrics; one process answers for all."""

    @pytest.fixture
    def report(self, tmp_path):
        running = []

        def start(*values):
            command = [sys.executable, "-c", REPORT, str(tmp_path), *map(str, values)]
            environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
            process = preloaded.Popen(
                command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            running.append(process)
            assert process.stdout.readline() == "published\n"
            return process

        yield start
        for process in running:
            process.kill()
            process.communicate()

    def scrape(self, tmp_path):
        """Return the metrics as exposed by a process without metrics of its own."""
        code = (
            "import sys; from pathlib import Path; from prometheus_client import CollectorRegistry, generate_latest\n"
            "from serving.runtime.metrics import WorkerMetrics\n"
            "exposed = CollectorRegistry()\n"
            "exposed.register(WorkerMetrics(CollectorRegistry(), Path(sys.argv[1])))\n"
            "print(generate_latest(exposed).decode())"
        )
        environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
        command = [sys.executable, "-c", code, str(tmp_path)]
        return preloaded.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout

    def values(self, tmp_path):
        return {name: value for (name, _), value in samples(self.scrape(tmp_path)).items()}

    def test_counts_are_summed_and_states_are_the_worst(self, report, tmp_path):
        report(1, 300, 2, 100.0, "3")
        report(0, 200, 3, 50.0, "3")
        assert self.values(tmp_path) == {
            "clout_workers": 3,
            "clout_ready": 0,
            "clout_stale": 1,
            "clout_users": 200,
            "clout_loads_total": 5,
            "clout_snapshot_info": 1,
            "process_resident_memory_bytes": 150,
        }

    def test_a_dead_process_no_longer_counts(self, report, tmp_path):
        report(1, 300, 2, 100.0, "3")
        dead = report(0, 200, 3, 50.0, "3")
        dead.kill()
        dead.communicate()
        values = self.values(tmp_path)
        assert values["clout_ready"] == 1
        assert values["clout_workers"] == 2

    def test_an_earlier_version_is_not_reported(self, report, tmp_path):
        report(1, 300, 2, 100.0, "3")
        info = {labels: value for (name, labels), value in samples(self.scrape(tmp_path)).items() if "info" in name}
        assert info == {frozenset({("model_version", "4")}): 1}
