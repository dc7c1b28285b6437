"""Do honest users lose points? python tests/benchmarks/honest_users.py EVENTS --as-of T --home HOME.

Prints the points that ordinary members lose by a holiday, by posting a text again, and by responding to friends. If
EVENTS.truth.parquet exists, as for a simulated community, it also prints how groups score at equal true pull, and the
share of bots below the median. Without --home, the model is fitted on the events.
"""

import argparse
from pathlib import Path

import pandas as pd
from fairness import equality
from friendships import friendships
from holidays import holiday
from repeats import bots_below_median, repeating

from features.events.event_table import open_events
from features.utc import parse_utc
from training.config import Config
from training.home import Home
from training.registry.model_registry import load_champion
from training.robustness.attack_environment import fit_unregistered

MOST_FRIENDS = 30  # each is scored separately


def main() -> None:
    """Print all comparisons."""
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("events", type=Path)
    args.add_argument("--as-of", type=parse_utc)
    args.add_argument("--home", type=Path)
    args.add_argument("--members", type=int, default=100)
    args.add_argument("--seed", type=int, default=0)
    options = args.parse_args()
    events = open_events(options.events)
    bundle = load_champion(Home(options.home))[0] if options.home else fit_unregistered(events, options.as_of, Config())
    report = holiday(events, bundle, options.as_of, options.members, seed=options.seed)
    print(f"Points that {report['members']} members lose by a holiday before {report['as_of']}")
    print(pd.DataFrame(report["days"]).round(2).to_string(index=False))
    print(
        f"steepest a day: {report['steepest']:.2f} in the median, {report['steepest_p95']:.2f} at the 95th percentile"
    )
    if posted := repeating(events, bundle, options.as_of, options.members, seed=options.seed):
        print("\nPoints that members lose by posting their last text again")
        print(pd.DataFrame(posted).round(2).to_string(index=False))
    friends = friendships(events, bundle, options.as_of, min(options.members, MOST_FRIENDS), options.seed)
    print(
        f"\nPoints that {friends.members} members lose as they respond to {friends.friends:.1f} friends each: "
        f"{friends.lost_median:.2f} in the median (95 % interval {friends.low:.2f} to {friends.high:.2f}), "
        f"{friends.lost_p95:.2f} at the 95th percentile"
    )
    truth = options.events.with_suffix(".truth.parquet")
    if truth.exists():
        print("\nPoints above people of the same true pull (95 % interval)")
        users = pd.read_parquet(truth)
        print(pd.DataFrame(equality(events, users, bundle, options.as_of)).round(2).to_string(index=False))
        share = bots_below_median(events, users, bundle, options.as_of)
        print(f"\nbots that repeat themselves, below the median of users who posted in 90 days: {share:.0%}")


if __name__ == "__main__":
    main()
