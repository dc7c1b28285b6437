"""Measure the claims again, and write them into docs/explained/measurements.md: python tests/benchmarks/proof.py.

Measured on a simulated community, and on each --community NAME EVENTS AS_OF HORIZON_DAYS (such as `--community travel
travel.parquet 2017-07-30 28`): quality out of time compared with the best baseline, coverage, the reach of picked
groups, the gains of attacks, exactness, and speed compared with predicting. `--print` prints the tables instead.
`--results FOLDER` caches the results of each community at this commit, so that communities can be measured one at a
time with `--only NAME`.
"""

import argparse
import json
import os
import re
import subprocess
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pandas as pd
from explaining import best
from quality import figures_at, folds
from selection import best_signal, means_by_size, reaches

from features.events.encoding import cached
from features.events.event_table import time_range
from features.events.loading import load_encoded_events, load_events
from features.simulation import Community, simulate
from features.utc import parse_utc
from training.config import Config, Outcome
from training.evaluation.metrics import RANKING
from training.explanation.ledger import base_points, contributions
from training.model.bundle import Bundle
from training.robustness.attack_report import SCORING
from training.robustness.poisoning import run_attacks

PAGE = Path(__file__).parents[2] / "docs" / "explained" / "measurements.md"
PART = re.compile(r"(<!-- proof -->\n).*?(<!-- /proof -->)", re.DOTALL)
SIMULATED = Community(users=3_000, days=420, seed=7)
CUTOFFS, MEMBERS, ROWS_OF_SPEED = 4, 30, 50_000
NAMES = {"auc": "AUC", "ndcg_100": "NDCG@100", "r2_log": "R2 of logs"}


@dataclass(frozen=True)
class Source:
    """A community: its events, and the last instant with a complete horizon."""

    name: str
    events: Path
    as_of: datetime
    horizon_days: int

    @property
    def config(self) -> Config:
        """The default configuration with this horizon."""
        return Config(outcome=Outcome(horizon_days=self.horizon_days))

    def instants(self, first: datetime) -> list[datetime]:
        """Return the instants, newest first: a horizon apart, or half a horizon if the community is too young."""
        horizon = timedelta(days=self.horizon_days)
        step = horizon if self.as_of - (CUTOFFS - 1) * horizon >= first + 4 * horizon else horizon / 2
        return [self.as_of - k * step for k in range(CUTOFFS)]


def measure(source: Source) -> dict[str, list[str]]:
    """Return one row of cells per table for a community."""
    with cached(load_encoded_events(source.events)) as events:
        instants = source.instants(time_range(events.rows)[0])
        newest, figures, groups = None, [], []
        for fold in folds(events, source.config, instants):
            newest = newest or fold
            figures.append(figures_at(events, source.config, fold))
            groups += reaches(events, source.config, fold)
    bundle, rows = newest.bundle, newest.ahead
    attacks = run_attacks(SCORING, load_events(source.events), bundle, source.as_of, MEMBERS, 0)
    head = [source.name]
    step = (instants[0] - instants[1]).days
    return {
        "quality": [
            *head,
            f"{CUTOFFS} x {step} days to {source.as_of:%Y-%m-%d}, {source.horizon_days} days",
            *_quality(pd.DataFrame(figures)),
        ],
        "groups": [*head, *_groups(groups)],
        "exactness and speed": [*head, f"{len(rows):,}", *_exactness(bundle, rows), *_speed(bundle, rows)],
        **{
            f"attack {result.attack}": [
                source.name,
                result.attack,
                f"{result.gain_median:.1f}",
                f"{result.baselines[attacks.best_baseline]:.1f}",
                f"{result.limit:g}",
                "yes" if result.within_limit else "**no**",
            ]
            for result in attacks.attacks
        },
    }


def _groups(rows: list[dict]) -> list[str]:
    means = means_by_size(rows).loc["mean"]
    best = best_signal(means)
    others = [f"{means[best]:.1f} ({best})", f"{means['expected_audience']:.1f}"]
    ratios = [means["picked"] / means[best], means["picked"] / means["expected_audience"]]
    return [
        f"{means['picked']:.1f}",
        *others,
        *(f"{ratio:.3f}" for ratio in ratios),
        f"{means['predicted'] / means['picked']:.2f}",
    ]


def _quality(figures: pd.DataFrame) -> list[str]:
    mean = figures.drop(columns="as_of").mean()
    pairs = [(mean[key], mean[f"best {key}"]) for key in RANKING]
    cells = [
        f"**{score:.3f}** ({best_one:.3f})" if score > best_one else f"{score:.3f} ({best_one:.3f})"
        for score, best_one in pairs
    ]
    return [*cells, *(f"{mean[key]:.2f}" for key in ("total", "coverage", "coverage_expected_1"))]


def _exactness(bundle: Bundle, rows: pd.DataFrame) -> list[str]:
    points = contributions(bundle, rows)
    sums = base_points(bundle) + points.sum(axis=1) - bundle.scale.unclipped(bundle.margin(bundle.matrix(rows)))
    return [f"{np.abs(sums).max():.0e}"]


def _speed(bundle: Bundle, rows: pd.DataFrame) -> list[str]:
    matrix = np.resize(bundle.matrix(rows), (ROWS_OF_SPEED, len(bundle.features)))
    tasks = {
        "predict": (lambda: bundle.margin(matrix), len(matrix)),
        "explain": (lambda: bundle.shap_values(matrix), len(matrix)),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spent = best(tasks, 3)
    return [f"{spent['explain'][1] / spent['predict'][1]:.1f}"]


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "".join("| " + " | ".join(row) + " |\n" for row in (head, ["---"] * len(head), *rows))


def commit() -> str:
    """Return the short hash of the commit that is checked out."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, cwd=PAGE.parent, capture_output=True, text=True).stdout.strip()


def measure_once(source: Source, results: Path | None) -> dict[str, list[str]]:
    """Return the rows of a community, from the folder of results if it was measured at this commit."""
    if results is None:
        return measure(source)
    file = results / f"{source.name}-{commit()}.json"
    if not file.exists():
        results.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(measure(source), indent=1))
    return json.loads(file.read_text())


def _attack_table(measured: list[dict[str, list[str]]]) -> str:
    """Return a row per attack and a column per community: the gain, bold beyond its limit, and the best baseline's."""
    limits = {cells[1]: cells[4] for tables in measured for name, cells in tables.items() if name.startswith("attack ")}
    rows = [
        [attack, limit, *(_gain(tables.get(f"attack {attack}")) for tables in measured)]
        for attack, limit in limits.items()
    ]
    return _table(["attack", "limit", *(tables["quality"][0] for tables in measured)], rows)


def _gain(cells: list[str] | None) -> str:
    """Return the gain of an attack in a community that allows to try it."""
    if cells is None:
        return "not tried"
    _, _, gain, baseline, _, within = cells
    return f"{gain if within == 'yes' else f'**{gain}**'} ({baseline})"


def report(measured: list[dict[str, list[str]]]) -> str:
    """Return the tables as Markdown."""
    quality = ["community", "instants", *(f"{NAMES[key]} (best baseline)" for key in RANKING)]
    cores = len(os.sched_getaffinity(0))
    return (
        f"Measured by `python tests/benchmarks/proof.py` on {datetime.now(UTC):%Y-%m-%d}, commit {commit()}, "
        f"{cores} cores. Simulated: {SIMULATED.users:,} users over {SIMULATED.days} days.\n\n"
        "**Quality** out of time, means over the instants; a figure above that of the best baseline is bold. Expected "
        "/ real compares the audiences of all users together. Coverage is the share of users whose audience lies "
        "within their 90 % interval, of all users and of those with an expected audience of one or more:\n\n"
        + _table(
            [*quality, "expected / real", "coverage", "of 1+ expected"], [tables["quality"] for tables in measured]
        )
        + "\n**Groups**: how many different people groups of 5, 10, 20 and 50 users really reached in the horizon, "
        + "means over sizes and instants:\n\n"
        + _table(
            [
                "community",
                "picked",
                "best ranking",
                "highest expected audiences",
                "picked / best",
                "picked / expected audiences",
                "predicted / real",
            ],
            [tables["groups"] for tables in measured],
        )
        + f"\n**Attacks** at the last instant: the points that the median of {MEMBERS} members gains, and in "
        + "parentheses the gain under the baseline that ranks best; a gain beyond its limit, or beyond a third of the "
        + "gain under that baseline, is bold:\n\n"
        + _attack_table(measured)
        + "\n**Exactness and speed** of explanations: the largest difference between a score and the sum of its "
        + "points over all users, and the processor time of explaining a row, in units of predicting it:\n\n"
        + _table(
            ["community", "users", "largest error", "explaining"],
            [tables["exactness and speed"] for tables in measured],
        )
    )


def main() -> None:
    """Measure every community, and write or print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument(
        "--community", nargs=4, action="append", default=[], metavar=("NAME", "EVENTS", "AS_OF", "HORIZON_DAYS")
    )
    arguments.add_argument("--print", action="store_true")
    arguments.add_argument("--results", type=Path, metavar="FOLDER")
    arguments.add_argument("--only", metavar="NAME")
    options = arguments.parse_args()
    with TemporaryDirectory() as folder:
        events = Path(folder) / "events.parquet"
        simulate(SIMULATED, events)
        last = SIMULATED.start + timedelta(days=SIMULATED.days - 28)
        sources = [Source("simulated", events, last, 28)]
        sources += [
            Source(name, Path(path), parse_utc(as_of), int(days)) for name, path, as_of, days in options.community
        ]
        sources = [source for source in sources if options.only in (None, source.name)]
        text = report([measure_once(source, options.results) for source in sources])
    if options.print or options.only:
        print(text)
    else:
        PAGE.write_text(PART.sub(lambda match: match[1] + text + match[2], PAGE.read_text()))


if __name__ == "__main__":
    main()
