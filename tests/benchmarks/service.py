"""How fast the service answers: python tests/benchmarks/service.py --users 1000000.

`clout serve` answers from a snapshot of random users. It is compared with an empty FastAPI route, and with `mlflow
models serve` of the same model. This process sends the load to each of them in turns, so that ratios within one run are
comparable.
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


def publish_random_snapshot(home: Home, users: int, trees: int, depth: int) -> None:
    """Register a champion and write a snapshot of random users, called u00000000 and so on."""
    bundle, rows = random_bundle(trees, depth), sort_rows(random_rows(users, 9))
    version = register(home, bundle, {}, {}, {}, {})
    promote(home, version)
    write_snapshot(home, AS_OF, bundle, version, score_rows(bundle, version, rows), rows)


@contextmanager
def running(
    port: int, path: str, *command: str, log: Path, env: dict[str, str] | None = None
) -> Iterator[tuple[int, float]]:
    """Run a server until the block ends; yield its process id and the seconds until it first answers 200."""
    began = time.perf_counter()
    with log.open("w") as output:
        process = subprocess.Popen(
            command, env=os.environ | (env or {}), start_new_session=True, stdout=output, stderr=output
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
    """Wait until a service reports nothing as stale, and return the seconds."""
    began = time.perf_counter()
    while json.loads(urlopen(f"http://127.0.0.1:{port}/ready").read())["stale"]:
        time.sleep(0.02)
    return time.perf_counter() - began


def resident(process: int) -> tuple[float, float]:
    """Return the resident memory of a process, and the part that is not mapped files, both in MB."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    return tuple(int(fields[name].split()[0]) / 1e3 for name in ("VmRSS", "RssAnon"))


def processor(session: int) -> float:
    """Return the processor seconds used by a server and its children."""
    spent = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # the process has ended
            continue
        if int(fields[3]) == session:
            spent += sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
    return spent


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def in_turns(loads: dict[str, tuple[int, Callable[[], Load]]], rounds: int, per_request: int = 1) -> dict[str, float]:
    """Run every load once per round, so that disturbances affect all alike; print and return requests per second.

    The others are compared with the first load: by the median over rounds of the ratio of rates, and by the servers'
    processor time per request, which depends less on other processes.
    """
    rates, spent = ({name: np.empty(rounds) for name in loads} for _ in range(2))
    for k in range(rounds):
        for name, (server, run_load) in loads.items():
            before, load = processor(server), run_load()
            if set(load.statuses) != {200}:
                raise SystemExit(f"{name}: {dict(load.statuses)}")
            rates[name][k] = load.rate * per_request
            spent[name][k] = (processor(server) - before) / len(load.seconds) / per_request
    reference = next(iter(loads))
    print(f"{'':30} {'a second':>9} {'ratio':>6} {'of rounds':>14} {'processor':>13} {'ratio':>6}")
    for name, rate in rates.items():
        ratio, cost = np.sort(rate / rates[reference]), float(np.median(spent[name]))
        range_of_ratios = f"{ratio[0]:.2f} to {ratio[-1]:.2f}"
        print(
            f"{name:30} {np.median(rate):9,.0f} {np.median(ratio):6.2f} {range_of_ratios:>14} {cost * 1e6:10,.0f} us "
            f"{np.median(spent[reference] / spent[name]):6.2f}"
        )
    return {name: float(np.median(rate)) for name, rate in rates.items()}


def by_id(port: int, server: int, users: list[str], logs: Path, rounds: int, seconds: float) -> None:
    """Measure scores and explanations by id, compared with an empty route."""
    chosen = np.random.default_rng(0).choice(users, 20_000)
    scores = [get(f"/v1/users/{user}/score") for user in chosen]
    explained = [get(f"/v1/users/{user}/explanation") for user in chosen]
    empty_port = free_port()
    with running(empty_port, "/async", sys.executable, "-c", EMPTY, str(empty_port), log=logs / "empty.log") as (
        empty,
        _,
    ):
        loads = {
            "empty route": (empty, lambda: as_fast_as_answered(empty_port, [get("/async")], seconds)),
            "empty route in a thread": (empty, lambda: as_fast_as_answered(empty_port, [get("/thread")], seconds)),
            "score by id": (server, lambda: as_fast_as_answered(port, scores, seconds)),
            "explanation by id": (server, lambda: as_fast_as_answered(port, explained, seconds)),
        }
        rates = in_turns(loads, rounds)
    for name, requests in {"score by id": scores, "explanation by id": explained}.items():
        load = at_rate(port, requests, rates[name] / 2, rounds * seconds)
        print(
            f"{name:18} at {rates[name] / 2:,.0f} a second: median {load.quantile(0.5):.1f} ms, "
            f"99th percentile {load.quantile(0.99):.1f} ms, {dict(load.statuses)}"
        )


def by_rows(port: int, server: int, home: Home, logs: Path, rounds: int, seconds: float) -> None:
    """Measure posted feature rows, one at a time and in batches, compared with `mlflow models serve`."""
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
    """Measure scores by id at a fixed rate, while other clients post batches as fast as they are answered."""
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
    """Return the random feature rows of one batch; unknown values are None."""
    rows = random_rows(BATCH, 3)[SCORED.names]
    return rows.astype(object).where(rows.notna(), None)


def body(path: str, **fields: object) -> bytes:
    """Write a request with a JSON body."""
    return post(path, json.dumps(fields).encode())


def main() -> None:
    """Run the selected parts."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--users", type=int, default=1_000_000)
    args.add_argument("--home", type=Path, help="a home to keep and reuse; default: a temporary one")
    args.add_argument("--trees", type=int, default=200)
    args.add_argument("--depth", type=int, default=4)
    args.add_argument("--rounds", type=int, default=5)
    args.add_argument("--seconds", type=float, default=4.0, help="duration of each load in each round")
    args.add_argument("--part", choices=["all", "ids", "rows", "beside", "start"], default="all")
    options = args.parse_args()
    with TemporaryDirectory() as scratch:
        home = Home(options.home or Path(scratch))
        exists = home.snapshots.exists()
        if not exists:
            publish_random_snapshot(home, options.users, options.trees, options.depth)
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
                f"the registry was read {seconds_until_idle(port):.1f} s later, resident {resident(process)[0]:.0f} MB"
            )
            if options.part in ("all", "ids"):
                by_id(port, process, users, logs, options.rounds, options.seconds)
            if options.part in ("all", "rows"):
                by_rows(port, process, home, logs, options.rounds, options.seconds)
            if options.part in ("all", "beside"):
                beside_batches(port, users, options.rounds * options.seconds)
            total, own = resident(process)
            print(f"resident at the end {total:.0f} MB, of which {own:.0f} MB no mapped files")


if __name__ == "__main__":
    main()
