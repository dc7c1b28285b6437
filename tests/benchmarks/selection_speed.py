"""How long a selection takes: python tests/benchmarks/selection_speed.py [--users 1000000] [--pairs 10000000] [--k 50].

Random audiences of that size are written as a snapshot's files and mapped into memory. The first selection computes
what later ones reuse; the times of the later ones are what a service takes. Peak memory is that of the whole process.
"""

import argparse
import resource
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import numpy as np
import pyarrow as pa

from features.utc import parse_utc
from serving.selections.candidates import Candidates
from serving.selections.select import SelectionRequest, select
from serving.snapshots.audience_files import StoredAudiences, map_audiences, write_audiences
from training.selection.return_model import ReturnModel
from training.selection.selection_model import SelectionModel


def random_audiences(users: int, pairs: int, seed: int = 0) -> StoredAudiences:
    """Return audiences with a few users who reach many and many who reach few."""
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
    """Return candidates whose expected audiences are those of the audiences."""
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
    model = SelectionModel(ReturnModel((0.0,) * 8, 28), 1.0, {})
    none = np.zeros(0, dtype=int)
    return Candidates(parse_utc("2026-01-01"), "1", 28, "all", scores, stored, none, model)


def main() -> None:
    """Print times and peak memory."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--users", type=int, default=1_000_000)
    args.add_argument("--pairs", type=int, default=10_000_000)
    args.add_argument("--k", type=int, default=50)
    args.add_argument("--rounds", type=int, default=20)
    options = args.parse_args()
    with TemporaryDirectory() as folder:
        write_audiences(random_audiences(options.users, options.pairs), Path(folder))
        candidates = random_candidates(map_audiences(Path(folder)))
        print(f"{options.users:,} users, {len(candidates.stored.engagers):,} pairs, k = {options.k}")
        plain = SelectionRequest(options.k)
        began = perf_counter()
        selection = select(candidates, plain)
        print(
            f"first selection: {perf_counter() - began:.2f} s, {selection.guarantee.at_least_of_best:.1%} of the bound"
        )
        top = tuple(member.user for member in selection.members[:5])
        for name, request in (("plain", plain), ("excluding five", SelectionRequest(options.k, exclude=top))):
            seconds, began = [], process_time()
            for _ in range(options.rounds):
                start = perf_counter()
                select(candidates, request)
                seconds.append(perf_counter() - start)
            processor = (process_time() - began) / options.rounds
            times = f"median {np.median(seconds):.2f} s, p95 {np.quantile(seconds, 0.95):.2f} s"
            print(f"{name}: {times}; {processor:.2f} s of processor time")
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
