"""How fast the service answers: python tests/benchmarks/service.py --users 1000000.

A store of random people is served by `clout serve`; beside it an empty FastAPI route answers, and `mlflow models serve`
the same model. The load comes from this process, in turns, so that figures are ratios within one run.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pandas as pd
from explaining import AS_OF, random_bundle, random_rows
from load import Load, as_fast_as_answered, at_rate, get, post

from features.catalogue import SCORED
from serving.scoring import score_rows
from serving.snapshots.layout import sort_rows
from serving.snapshots.repository import write_snapshot
from training.home import Home
from training.registry.model_registry import promote, register

CLOUT = "from serving.cli.main import main; main()"
EMPTY = """
import sys, uvicorn
from fastapi import FastAPI
app = FastAPI()

@app.get("/async")
async def empty() -> None: ...

@app.get("/thread")
def empty_in_a_thread() -> None: ...

uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
"""
BATCH = 1_000
SCORES_BESIDE = 200
START_SECONDS = 120


def stored(home: Home, users: int, trees: int, depth: int) -> None:
    """Register a champion and keep a snapshot of random people, called u00000000 and so on."""
    bundle, rows = random_bundle(trees, depth), sort_rows(random_rows(users, 9))
    version = register(home, bundle, {}, {}, {}, {})
    promote(home, version)
    write_snapshot(home, AS_OF, bundle, version, score_rows(bundle, version, rows), rows)


@contextmanager
def running(
    port: int, path: str, *command: str, log: Path, env: dict[str, str] | None = None
) -> Iterator[tuple[int, float]]:
    """Run a server until the block ends; yield its process and the seconds until it first answered 200."""
    began = time.perf_counter()
    with log.open("w") as said:
        process = subprocess.Popen(
            command, env=os.environ | (env or {}), start_new_session=True, stdout=said, stderr=said
        )
    try:
        while not _answers(f"http://127.0.0.1:{port}{path}"):
            if process.poll() is not None or time.perf_counter() - began > START_SECONDS:
                raise SystemExit(f"{command} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.02)
        yield process.pid, time.perf_counter() - began
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _answers(address: str) -> bool:
    try:
        with urlopen(address) as answer:
            return answer.status == 200
    except OSError:
        return False


def seconds_until_idle(port: int) -> float:
    """Wait until a service says that nothing it answers from is stale, and return the seconds."""
    began = time.perf_counter()
    while json.loads(urlopen(f"http://127.0.0.1:{port}/ready").read())["stale"]:
        time.sleep(0.02)
    return time.perf_counter() - began


def resident(process: int) -> tuple[float, float]:
    """Return how much memory a process holds, MB, and how much of it is not a mapped file."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    return tuple(int(fields[name].split()[0]) / 1e3 for name in ("VmRSS", "RssAnon"))


def processor(session: int) -> float:
    """Return the processor seconds that a server and its children have spent."""
    spent = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[3]) == session:
            spent += sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
    return spent


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def in_turns(works: dict[str, tuple[int, Callable[[], Load]]], rounds: int, per_request: int = 1) -> dict[str, float]:
    """Run every load once a round, so that what disturbs the machine disturbs all; print and return rates.

    The first is what the others are held against: by the median of the ratios of a round, and by the processor time
    that their servers spent on a request, which neighbours move less.
    """
    rates, spent = ({name: np.empty(rounds) for name in works} for _ in range(2))
    for k in range(rounds):
        for name, (server, work) in works.items():
            before, load = processor(server), work()
            if set(load.statuses) != {200}:
                raise SystemExit(f"{name}: {dict(load.statuses)}")
            rates[name][k] = load.rate * per_request
            spent[name][k] = (processor(server) - before) / len(load.seconds) / per_request
    beside = next(iter(works))
    print(f"{'':30} {'a second':>9} {'ratio':>6} {'of rounds':>14} {'processor':>13} {'ratio':>6}")
    for name, rate in rates.items():
        ratio, cost = np.sort(rate / rates[beside]), float(np.median(spent[name]))
        rounds_told = f"{ratio[0]:.2f} to {ratio[-1]:.2f}"
        print(
            f"{name:30} {np.median(rate):9,.0f} {np.median(ratio):6.2f} {rounds_told:>14} {cost * 1e6:10,.0f} us "
            f"{np.median(spent[beside] / spent[name]):6.2f}"
        )
    return {name: float(np.median(rate)) for name, rate in rates.items()}


def by_id(port: int, server: int, users: list[str], logs: Path, rounds: int, seconds: float) -> None:
    """Scores and explanations by id, beside an empty route."""
    chosen = np.random.default_rng(0).choice(users, 20_000)
    scores = [get(f"/v1/users/{user}/score") for user in chosen]
    explained = [get(f"/v1/users/{user}/explanation") for user in chosen]
    empty_port = free_port()
    with running(empty_port, "/async", sys.executable, "-c", EMPTY, str(empty_port), log=logs / "empty.log") as (
        empty,
        _,
    ):
        works = {
            "empty route": (empty, lambda: as_fast_as_answered(empty_port, [get("/async")], seconds)),
            "empty route in a thread": (empty, lambda: as_fast_as_answered(empty_port, [get("/thread")], seconds)),
            "score by id": (server, lambda: as_fast_as_answered(port, scores, seconds)),
            "explanation by id": (server, lambda: as_fast_as_answered(port, explained, seconds)),
        }
        rates = in_turns(works, rounds)
    for name, requests in {"score by id": scores, "explanation by id": explained}.items():
        load = at_rate(port, requests, rates[name] / 2, rounds * seconds)
        print(
            f"{name:18} at {rates[name] / 2:,.0f} a second: median {load.quantile(0.5):.1f} ms, "
            f"99th percentile {load.quantile(0.99):.1f} ms, {dict(load.statuses)}"
        )


def by_rows(port: int, server: int, home: Home, logs: Path, rounds: int, seconds: float) -> None:
    """Posted feature rows, one at a time and in batches, beside `mlflow models serve`."""
    values = batch_rows()
    table, records = values.to_numpy().tolist(), values.to_dict("records")
    ones = [body("/v1/scores", rows=[record]) for record in records[:200]]
    their_ones = [body("/invocations", dataframe_split={"columns": SCORED.names, "data": [row]}) for row in table[:200]]
    batch = body("/v1/scores", table={"features": SCORED.names, "values": table})
    named_batch = body("/v1/scores", rows=records)
    their_batch = body("/invocations", dataframe_split={"columns": SCORED.names, "data": table})
    their_named_batch = body("/invocations", dataframe_records=records)
    mlflow_port = free_port()
    model = f"-m models:/clout@champion --env-manager local -w 1 -p {mlflow_port}"
    command = f"{sys.executable} -m mlflow models serve {model}".split()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {"MLFLOW_TRACKING_URI": home.registry_uri, "PATH": path}
    with running(mlflow_port, "/ping", *command, "--env-manager", "local", log=logs / "mlflow", env=env) as (
        mlflow,
        took,
    ):
        print(f"mlflow models serve answers after {took:.1f} s, one worker")

        def theirs(requests: list[bytes], connections: int) -> tuple[int, Callable[[], Load]]:
            return mlflow, lambda: as_fast_as_answered(mlflow_port, requests, seconds, connections)

        def ours(requests: list[bytes], connections: int) -> tuple[int, Callable[[], Load]]:
            return server, lambda: as_fast_as_answered(port, requests, seconds, connections)

        in_turns({"mlflow models serve, one row": theirs(their_ones, 8), "posted row": ours(ones, 8)}, rounds)
        in_turns({"mlflow models serve, tables": theirs([their_batch], 2), "tables": ours([batch], 2)}, rounds, BATCH)
        named = {"mlflow models serve, records": theirs([their_named_batch], 2), "rows": ours([named_batch], 2)}
        in_turns(named, rounds, BATCH)


def beside_batches(port: int, users: list[str], seconds: float) -> None:
    """Scores by id, some of them each second, while other clients post batches as fast as they are answered."""
    batch = body("/v1/scores", table={"features": SCORED.names, "values": batch_rows().to_numpy().tolist()})
    scores = [get(f"/v1/users/{user}/score") for user in np.random.default_rng(0).choice(users, 1_000)]
    for clients in (0, 1, 2, 4):
        with ThreadPoolExecutor() as pool:
            posting = pool.submit(as_fast_as_answered, port, [batch], seconds, clients)
            load = at_rate(port, scores, SCORES_BESIDE, seconds)
        rate = posting.result().rate * BATCH
        print(
            f"beside {clients} clients that post {rate:,.0f} rows a second: {SCORES_BESIDE} scores a second, median "
            f"{load.quantile(0.5):.1f} ms, 99th percentile {load.quantile(0.99):.1f} ms"
        )


def batch_rows() -> pd.DataFrame:
    """Return the random feature rows of one batch, None where unknown."""
    rows = random_rows(BATCH, 3)[SCORED.names]
    return rows.astype(object).where(rows.notna(), None)


def body(path: str, **fields: object) -> bytes:
    """Write a request with a JSON body."""
    return post(path, json.dumps(fields).encode())


def main() -> None:
    """Measure all of it."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--users", type=int, default=1_000_000)
    args.add_argument("--home", type=Path, help="kept, and used again where it holds a snapshot; default: a new one")
    args.add_argument("--trees", type=int, default=200)
    args.add_argument("--depth", type=int, default=4)
    args.add_argument("--rounds", type=int, default=5)
    args.add_argument("--seconds", type=float, default=4.0, help="of each load in each round")
    args.add_argument("--part", choices=["all", "ids", "rows", "beside", "start"], default="all")
    options = args.parse_args()
    with TemporaryDirectory() as scratch:
        home = Home(options.home or Path(scratch))
        exists = home.snapshots.exists()
        if not exists:
            stored(home, options.users, options.trees, options.depth)
        users = [f"u{k:08}" for k in range(options.users)]
        port = free_port()
        clout = [sys.executable, "-c", CLOUT, "serve", "--port", str(port), "--home", str(home.folder)]
        logs = Path(scratch)
        with running(port, "/ready", *clout, log=logs / "clout.log") as (process, took):
            print(
                f"{options.users:,} users; ready after {took:.1f} s ({processor(process):.1f} s of processor), "
                f"resident {resident(process)[0]:.0f} MB"
            )
            print(
                f"the registry was asked {seconds_until_idle(port):.1f} s later, resident {resident(process)[0]:.0f} MB"
            )
            if options.part in ("all", "ids"):
                by_id(port, process, users, logs, options.rounds, options.seconds)
            if options.part in ("all", "rows"):
                by_rows(port, process, home, logs, options.rounds, options.seconds)
            if options.part in ("all", "beside"):
                beside_batches(port, users, options.rounds * options.seconds)
            everything, own = resident(process)
            print(f"resident at the end {everything:.0f} MB, of which {own:.0f} MB no mapped files")


if __name__ == "__main__":
    main()
