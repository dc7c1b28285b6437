"""Quality against resistance to attacks: python tests/benchmarks/frontier.py [EVENTS --as-of T] [--store NAME].

The model is fitted on the data complete by T. Its bounded term is limited to 0, 0.1, 0.25, 0.5, 1 and infinitely many
nats. Each variant is evaluated on the horizon after T and attacked at T. The gain is that of the median member, in
points of one common scale, for every attack of the suite. Without EVENTS, 1,500 people are simulated over 420 days.
Only 1,000 of the 10,000 bought followers follow, because no model has follows as a feature. `--store` writes the table
into docs/pictures/frontier.json under NAME and plots all communities of that file.
"""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from attacked import AttackedCommunity, attacked_community, events_or_simulation, make_parser
from matplotlib.figure import Figure
from quality import folds

from features.events.encoding import cached
from features.events.event_table import open_events, time_range
from features.events.loading import load_encoded_events
from features.events.scopes import ALL
from training.config import Config, Outcome
from training.dataset.panel import in_scope
from training.evaluation.metrics import ranking
from training.model.bundle import Bundle
from training.reports.plots import INK
from training.robustness.attacks import ATTACKS

BOUNDS = (0.0, 0.1, 0.25, 0.5, 1.0, np.inf)
FOLLOWERS = 1_000
FIGURES = Path(__file__).parents[2] / "docs" / "pictures" / "frontier.json"
DEFAULT = Config().model.bound
PANELS = {"auc": "AUC", "ndcg_100": "NDCG@100", "r2_log": "R2 of logs"}


def bounded_to(bundle: Bundle, bound: float) -> Bundle:
    """Return the model with another limit of its bounded term."""
    assert bundle.bounded is not None
    return replace(bundle, bounded=replace(bundle.bounded, limit=bound))


def gains(community: AttackedCommunity, bundles: dict[float, Bundle]) -> pd.DataFrame:
    """Return the median gain of each attack in points: bounds x attacks."""
    columns = {}
    for attack in ATTACKS:
        fewer = replace(attack, accounts=min(attack.accounts, FOLLOWERS))
        after, _, _ = community.rows_after(fewer)
        before = community.before.loc[after.index]
        columns[attack.name] = {
            bound: float((bundle.predict(after)["score"] - bundle.predict(before)["score"]).median())
            for bound, bundle in bundles.items()
        }
    return pd.DataFrame(columns)


def frontier(path: Path, config: Config, as_of: datetime, members: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a table of quality and gains by bound, and a table of the gain of each attack by bound."""
    with cached(load_encoded_events(path)) as encoded:
        (fold,) = folds(encoded, config, [as_of])
    ahead = in_scope(fold.ahead, ALL)
    audience = ahead["audience"].to_numpy(float)
    bundles = {bound: bounded_to(fold.bundle, bound) for bound in BOUNDS}
    quality = {}
    for bound, bundle in bundles.items():
        margin = bundle.margin(bundle.matrix(ahead))
        expected = np.exp(margin)
        quality[bound] = ranking(audience, margin, expected) | {"total": expected.sum() / audience.sum()}
    with attacked_community(open_events(path), fold.bundle, as_of, members) as community:
        by_attack = gains(community, bundles)
    table = pd.DataFrame(quality).T
    table["median gain"], table["worst gain"] = by_attack.median(axis=1), by_attack.max(axis=1)
    table["worst attack"] = by_attack.idxmax(axis=1)
    anybody = 2 * np.array(BOUNDS) * fold.bundle.scale.points_per_nat
    return table.assign(**{"at most, from anybody": anybody}).rename_axis("bound"), by_attack


def store(name: str, as_of: datetime, table: pd.DataFrame, by_attack: pd.DataFrame) -> None:
    """Write a community's table into the JSON file; the infinite bound becomes null."""
    figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    rows = table.join(by_attack[["fresh_accounts", "pod", "aged_farm", "old_accounts"]]).round(4).reset_index()
    rows["bound"] = rows["bound"].where(np.isfinite(rows["bound"]))
    figures[name] = {
        "as_of": f"{as_of:%Y-%m-%d}",
        "rows": json.loads(rows.drop(columns="at most, from anybody").to_json(orient="records")),
    }
    FIGURES.write_text(json.dumps(dict(sorted(figures.items())), indent=1) + "\n")


def plot_frontier(figures: dict[str, dict]) -> Figure:
    """Plot how much each bound improves quality over no bounded term, against the worst gain, per community."""
    figure = Figure(figsize=(11, 3.6), layout="constrained", dpi=110)
    figure.suptitle("What limits of 0, 0.1 (ring), 0.25, 0.5, 1 nats and none bring", x=0.01, ha="left", color=INK)
    tables = {name: pd.DataFrame(community["rows"]) for name, community in figures.items()}
    for axes, (key, title) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        axes.set_title(f"{title}, more than without", loc="left", color=INK, fontsize=10)
        for name, table in tables.items():
            more = table[key] - table.loc[table["bound"] == 0, key].item()
            (line,) = axes.plot(table["worst gain"], more, marker=".", label=name)
            default = table["bound"] == DEFAULT
            ring = {"marker": "o", "s": 60, "facecolors": "none", "edgecolors": line.get_color()}
            axes.scatter(table.loc[default, "worst gain"], more[default], **ring)
        axes.margins(x=0.1, y=0.1)
        axes.set_xlabel("points gained by the worst attack")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=4, frameon=False, fontsize=8)
    return figure


def main() -> None:
    """Print the table; with --store, also store and plot it."""
    args = make_parser(__doc__)
    args.add_argument("--store", metavar="NAME", help="name of the community in docs/pictures/frontier.json")
    options = args.parse_args()
    config = Config(outcome=Outcome(horizon_days=options.horizon_days))
    with events_or_simulation(options.events) as path:
        as_of = options.as_of or time_range(open_events(path))[1] - timedelta(days=options.horizon_days)
        table, by_attack = frontier(path, config, as_of, options.members)
    print(table.round(3).to_string())
    print(f"\n{by_attack.T.round(1).to_string()}")
    if options.store:
        store(options.store, as_of, table, by_attack)
        plot_frontier(json.loads(FIGURES.read_text())).savefig(FIGURES.with_suffix(".png"))


if __name__ == "__main__":
    main()
