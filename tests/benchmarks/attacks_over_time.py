"""What attacks gain at several instants: python tests/benchmarks/attacks_over_time.py EVENTS --as-of T [--draws 5].

At T and at each horizon before it, the default configuration is fitted on the data complete by then, and attacked at
that instant by the suite of `clout attack`, once for each draw of members. Printed are the points that the median
member gains in each draw, marked where they are beyond the limit. With `--wake-days 35`, bought dormant accounts post
once so many days before the instant, so that they no longer return from an absence when they respond.
"""

from collections.abc import Sequence
from dataclasses import replace

import ibis.expr.types as ir
import numpy as np
import pandas as pd
from quality import Fold, folds, instants, make_parser

from features.errors import TooSmallError
from features.events.encoding import cached
from features.events.loading import load_encoded_events, load_events
from training.config import Config, Outcome
from training.robustness.attack_suite import attack_suite
from training.robustness.attacks import ATTACKS, Attack, AttackContext, make_posts


def main() -> None:
    """Print a row per instant and a column per attack, and in how many draws each attack was beyond its limit."""
    args = make_parser(__doc__)
    args.add_argument("--draws", type=int, default=5, help="of the members that attack, at each instant")
    args.add_argument("--wake-days", type=int, help="how long before the instant dormant accounts post once")
    options = args.parse_args()
    attacks: Sequence[Attack] = ATTACKS
    if options.wake_days:
        attacks = tuple(_woken(attack, options.wake_days) for attack in ATTACKS if attack.uses_dormant_accounts)
    config = Config().model_copy(update={"outcome": Outcome(horizon_days=options.horizon_days)})
    events = load_events(options.events)
    with cached(load_encoded_events(options.events)) as acts:
        attacked = [_attack(events, fold, options.draws, attacks) for fold in folds(acts, config, instants(options))]
    results = pd.DataFrame([row for rows in attacked for row in rows], columns=["as_of", "attack", "gain", "within"])
    print(results.groupby(["as_of", "attack"], sort=False).apply(_gains).unstack(sort=False).T.to_string())
    print("\ndraws beyond the limit:")
    print((~results.set_index("attack")["within"]).groupby("attack", sort=False).sum().to_string())


def _woken(attack: Attack, days: int) -> Attack:
    """Let the recruited accounts post once, so many days before the instant."""

    def make_events(members: Sequence[str], recruited: np.ndarray, context: AttackContext) -> pd.DataFrame:
        posts = make_posts(recruited, context, 1)
        posts["time"] -= pd.Timedelta(days=days)
        return pd.concat([posts, attack.make_events(members, recruited, context)], ignore_index=True)

    return replace(attack, make_events=make_events)


def _attack(events: ir.Table, fold: Fold, draws: int, attacks: Sequence[Attack]) -> list[tuple[str, str, float, bool]]:
    """Return a row for each draw and attack; none, with the reason printed, where too few members are ordinary."""
    instant = f"{fold.as_of:%Y-%m-%d}"
    try:
        reports = [attack_suite(events, fold.bundle, fold.as_of, seed=draw, attacks=attacks) for draw in range(draws)]
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
