"""Time to select a group: python tests/benchmarks/selection_speed.py [--users 1000000] [--pairs 10000000] [--k 50].

Random audiences are written as files of a snapshot and mapped into memory. The first selection computes a cache for the
later ones. Peak memory is that of the whole process. With `--service`, the times are those of `POST /v1/selections` to
`clout serve`; each request excludes another user.
"""

import argparse
import json
import resource
import sys
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import numpy as np
import pyarrow as pa
from explaining import AS_OF, random_bundle, random_rows
from service import CLOUT, free_port, processor, resident, running

from features.utc import parse_utc
from serving.scoring import score_rows
from serving.selections.candidates import Candidates
from serving.selections.select import SelectionRequest, select
from serving.snapshots.audience_files import StoredAudiences, map_audiences, write_audiences
from serving.snapshots.layout import sort_rows
from serving.snapshots.repository import write_snapshot
from training.home import Home
from training.registry.model_registry import promote, register
from training.selection.return_model import ReturnModel
from training.selection.selection_model import SelectionModel, with_selection

MODEL = SelectionModel(ReturnModel((0.0,) * 8, 28), 1.0, {})


def random_audiences(users: int, pairs: int, seed: int = 0) -> StoredAudiences:
    """Return audiences in which a few users reach many people and many users reach few."""
    rng = np.random.default_rng(seed)
    share = rng.pareto(1.2, users)
    counts = rng.poisson(share / share.sum() * pairs)
    engagers = rng.integers(0, users, counts.sum(), dtype=np.int32)
    return StoredAudiences(
        pairs=counts.astype(np.int32),
        engagers=engagers,
        probability=rng.beta(0.5, 4, len(engagers)).astype(np.float32),
        strangers=counts * rng.random(users),
        weight=rng.choice([0.0, 1.0], users),
        followers=counts.astype(np.int32),
        pools={"all": users / 4},
    )


def random_candidates(stored: StoredAudiences) -> Candidates:
    """Return candidates whose expected audience equals the reach of their stored audience."""
    users = len(stored)
    expected = stored.audiences("all").reach_of_each
    scores = pa.table(
        {
            "user": pa.array([f"u{k:08d}" for k in range(users)]),
            "scope": pa.DictionaryArray.from_arrays(np.zeros(users, dtype=np.int32), ["all"]),
            "score": np.log1p(expected),
            "expected_audience": expected,
        }
    )
    none = np.zeros(0, dtype=int)
    return Candidates(parse_utc("2026-01-01"), "1", 28, "all", scores, stored, none, MODEL)


def measure_library(options: argparse.Namespace, folder: Path) -> None:
    """Select groups from mapped files, and print times and peak memory."""
    write_audiences(random_audiences(options.users, options.pairs), folder)
    candidates = random_candidates(map_audiences(folder))
    print(f"{options.users:,} users, {len(candidates.stored.engagers):,} pairs, k = {options.k}")
    plain = SelectionRequest(options.k)
    began, spent = perf_counter(), process_time()
    selection = select(candidates, plain)
    first = f"{perf_counter() - began:.2f} s, {process_time() - spent:.2f} s of processor time"
    print(f"first selection: {first}, {selection.guarantee.at_least_of_best:.1%} of the bound")
    top = tuple(member.user for member in selection.members[:5])
    for name, request in (("plain", plain), ("excluding five", SelectionRequest(options.k, exclude=top))):
        repeat(name, options.rounds, lambda _, request=request: select(candidates, request), process_time)
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def repeat(name: str, rounds: int, task: Callable[[int], object], processor_time: Callable[[], float]) -> None:
    """Call a function several times, and print wall-clock and processor times."""
    seconds, began = [], processor_time()
    for k in range(rounds):
        start = perf_counter()
        task(k)
        seconds.append(perf_counter() - start)
    times = f"median {np.median(seconds):.2f} s, p95 {np.quantile(seconds, 0.95):.2f} s"
    print(f"{name}: {times}; {(processor_time() - began) / rounds:.2f} s of processor time")


def measure_service(options: argparse.Namespace, folder: Path) -> None:
    """Select groups by requests to a service, and print times and memory."""
    home, audiences = Home(folder), random_audiences(options.users, options.pairs)
    bundle, rows = with_selection(random_bundle(50, 4), MODEL), sort_rows(random_rows(options.users, 9))
    version = register(home, bundle, {}, {}, {}, {})
    promote(home, version)
    write_snapshot(home, AS_OF, bundle, version, score_rows(bundle, version, rows), rows, audiences)
    port = free_port()
    clout = [sys.executable, "-c", CLOUT, "serve", "--port", str(port), "--home", str(folder)]

    def post(k: int) -> dict:
        connection = HTTPConnection("127.0.0.1", port)
        body = {"k": options.k, "exclude": members[k : k + 1]}
        connection.request("POST", "/v1/selections", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        document = json.loads(response.read())
        if response.status != 200:
            raise SystemExit(f"the service answered {response.status}: {document}")
        return document

    members: list[str] = []
    with running(port, "/ready", *clout, log=folder / "clout.log") as (process, took):
        print(f"service with {options.users:,} users, {len(audiences.engagers):,} pairs: ready after {took:.1f} s")
        began = perf_counter()
        members = [member["user"] for member in post(0)["members"]]
        print(f"first request: {perf_counter() - began:.2f} s")
        repeat("requests", min(options.rounds, options.k), post, lambda: processor(process))
        print(f"resident: {resident(process)[0]:.0f} MB, {resident(process)[1]:.0f} MB of it not mapped files")


def main() -> None:
    """Print times and memory."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--users", type=int, default=1_000_000)
    args.add_argument("--pairs", type=int, default=10_000_000)
    args.add_argument("--k", type=int, default=50)
    args.add_argument("--rounds", type=int, default=20)
    args.add_argument("--service", action="store_true", help="measure requests to a service")
    options = args.parse_args()
    with TemporaryDirectory() as folder:
        (measure_service if options.service else measure_library)(options, Path(folder))


if __name__ == "__main__":
    main()
