"""What attacks gain at several instants: python tests/benchmarks/attacks_over_time.py EVENTS --as-of T [--draws 5].

At T and at each horizon before it, the default configuration is fitted on the data complete by then, and attacked at
that instant by the suite of `clout attack`, once for each draw of members. Printed are the points that the median
member gains in each draw, marked where they are beyond the limit.
"""

import ibis.expr.types as ir
import pandas as pd
from quality import Fold, folds, instants, make_parser

from features.errors import TooSmallError
from features.events.encoding import cached
from features.events.loading import load_encoded_events, load_events
from training.config import Config, Outcome
from training.robustness.attack_suite import attack_suite


def main() -> None:
    """Print a row per instant and a column per attack, and in how many draws each attack was beyond its limit."""
    args = make_parser(__doc__)
    args.add_argument("--draws", type=int, default=5, help="of the members that attack, at each instant")
    options = args.parse_args()
    config = Config().model_copy(update={"outcome": Outcome(horizon_days=options.horizon_days)})
    events = load_events(options.events)
    with cached(load_encoded_events(options.events)) as acts:
        attacked = [_attack(events, fold, options.draws) for fold in folds(acts, config, instants(options))]
    results = pd.DataFrame([row for rows in attacked for row in rows], columns=["as_of", "attack", "gain", "within"])
    print(results.groupby(["as_of", "attack"], sort=False).apply(_gains).unstack(sort=False).T.to_string())
    print("\ndraws beyond the limit:")
    print((~results.set_index("attack")["within"]).groupby("attack", sort=False).sum().to_string())


def _attack(events: ir.Table, fold: Fold, draws: int) -> list[tuple[str, str, float, bool]]:
    """Return a row for each draw and attack; none, with the reason printed, where too few members are ordinary."""
    instant = f"{fold.as_of:%Y-%m-%d}"
    try:
        reports = [attack_suite(events, fold.bundle, fold.as_of, seed=draw) for draw in range(draws)]
    except TooSmallError as error:
        print(f"{instant}: {error}")
        return []
    return [(instant, row.attack, row.gain_median, row.within_limit) for report in reports for row in report.attacks]


def _gains(draws: pd.DataFrame) -> str:
    """Write the gains of all draws, those beyond the limit with an exclamation mark."""
    return " ".join(
        f"{gain:.1f}{'' if within else '!'}" for gain, within in zip(draws["gain"], draws["within"], strict=True)
    )


if __name__ == "__main__":
    main()
