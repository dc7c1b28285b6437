"""Search for the cheapest way to gain points: python tests/benchmarks/cheapest_attack.py [EVENTS --as-of T].

Optuna varies the kind and number of accounts, what they do, how often and for how long. It looks for the plan with the
lowest cost by which the median member gains 10 points. An event costs one unit, an account its price in PRICES. A plan
uses at most 200 accounts and 20,000 events. Established users who respond willingly are real audience, so they are not
part of any plan; `clout attack` tries them as alliances. Some plans with accounts that established users answered are
tried before the search. The model is fitted on the events before T. Without EVENTS, a community is simulated as in
`frontier.py`.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from attacked import AttackedCommunity, attacked_community, events_or_simulation, make_parser

from features.events.event_table import open_events, time_range
from training.config import Config, Outcome
from training.model.bundle import Bundle
from training.robustness.alliances import MIN_ENGAGERS
from training.robustness.attack_environment import fit_unregistered
from training.robustness.attacks import (
    FOR_SALE,
    Attack,
    AttackContext,
    answered_questions,
    engage,
    is_dormant,
    make_posts,
)

FRESH, BRIDGED, GROWN, DORMANT, KNOWN = "fresh", "bridged", "grown", "dormant", "known dormant"
PRICES = {FRESH: 1, BRIDGED: 1, GROWN: 1, DORMANT: 20, KNOWN: 50}
MOST_ACCOUNTS, MOST_ACTS = 200, 20_000
TARGET_MISSED = 100.0
ANSWERED = ((4, 2), (12, 2), (12, 3), (50, 3))  # (accounts, answers that each received)


@dataclass(frozen=True)
class Plan:
    """One attack: accounts that respond to the posts of a member.

    Parameters
    ----------
    who : the kind of accounts: new; new and answered by established users; warmed up by responding to each other;
        dormant and bought, either at random or those with the most engagers
    accounts : number of accounts
    verb : verb of their responses
    days, every : duration, and days between two posts of the member
    share : share of the posts that each account responds to
    answers : responses that each bridged account gets from established users
    grown_days, ring : days for which grown accounts post weekly, and how many of them respond to each post

    """

    who: str
    accounts: int
    verb: str
    days: int
    every: int
    share: float
    answers: int = 0
    grown_days: int = 0
    ring: int = 0

    def attack(self, community: AttackedCommunity) -> Attack:
        """Return the plan as an attack on a community."""
        dormant, best_known = self.who in (DORMANT, KNOWN), known_dormant(community) if self.who == KNOWN else None
        events = partial(plan_events, self, best_known)
        return Attack("plan", str(self), events, 0.0, accounts=self.accounts, uses_dormant_accounts=dormant)


def known_dormant(community: AttackedCommunity) -> np.ndarray:
    """Return the tenth of the dormant accounts with the most engagers."""
    users, others = community.users, community.users.drop(index=community.members)
    dormant = others[is_dormant(users)[others.index]]
    most = dormant[dormant["engagers"] >= MIN_ENGAGERS].sort_values("engagers", ascending=False, kind="stable")
    return most.index.to_numpy(object)[: -(-len(dormant) // FOR_SALE)]


def plan_events(
    plan: Plan, best_known: np.ndarray | None, members: Sequence[str], recruited: np.ndarray, context: AttackContext
) -> pd.DataFrame:
    """Return the events of a plan for one member."""
    accounts = recruited if best_known is None else best_known[: plan.accounts]
    posts = make_posts(members, context, plan.days, every=plan.every)
    responses = engage(posts, accounts, plan.verb, context)
    responses = responses[context.rng.random(len(responses)) < plan.share]
    return pd.concat([posts, responses, *_established(plan, accounts, context)], ignore_index=True)


def _established(plan: Plan, accounts: np.ndarray, context: AttackContext) -> list[pd.DataFrame]:
    """Return the events that make accounts established before the attack: answers by others or by each other."""
    if plan.who == BRIDGED:
        return answered_questions(accounts, plan.answers, plan.days, context)
    if plan.who != GROWN:
        return []
    posts = make_posts(accounts, context, plan.grown_days, every=7)
    posts["time"] -= pd.Timedelta(days=plan.days)
    answers = engage(posts, np.array([None] * plan.ring), "reply", context)
    answers["actor"] = context.rng.choice(accounts, len(answers))
    return [posts, answers]


def suggest(trial: optuna.Trial, history_days: float) -> Plan:
    """Suggest the next plan to try."""
    who = trial.suggest_categorical("who", list(PRICES))
    plan = Plan(
        who,
        accounts=trial.suggest_int("accounts", 1, MOST_ACCOUNTS, log=True),
        verb=trial.suggest_categorical("verb", ["like", "reply", "mention", "repost"]),
        days=trial.suggest_int("days", 1, 120, log=True),
        every=trial.suggest_int("every", 1, 14),
        share=trial.suggest_float("share", 0.1, 1.0),
    )
    if who == BRIDGED:
        return Plan(**asdict(plan) | {"answers": trial.suggest_int("answers", 1, 5)})
    if who == GROWN:
        most = max(int(history_days * 2 / 3) - plan.days, 15)
        grown = trial.suggest_int("grown_weeks", 2, 50) * 7
        return Plan(**asdict(plan) | {"grown_days": min(grown, most), "ring": trial.suggest_int("ring", 1, 5)})
    return plan


def search(community: AttackedCommunity, bundle: Bundle, target: float, trials: int, seed: int) -> pd.DataFrame:
    """Try plans; return each with its gain and cost, successful plans first, cheapest first."""
    before, history_days = bundle.predict(community.before)["score"], float(community.users["age_days"].max())
    results = []

    def cost(trial: optuna.Trial) -> float:
        plan = suggest(trial, history_days)
        context = AttackContext(**vars(community.context) | {"rng": np.random.default_rng(seed)})
        if plan.accounts * plan.share * plan.days / plan.every > MOST_ACTS:
            return 2 * TARGET_MISSED
        after, accounts, acts = community.rows_after(plan.attack(community), context)
        gain = float((bundle.predict(after)["score"] - before).median())
        units = acts + (accounts - 1) * PRICES[plan.who]
        results.append(asdict(plan) | {"gain": gain, "acts": acts, "cost": units})
        return float(np.log10(units)) if gain >= target else TARGET_MISSED - gain

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=min(20, trials // 2))
    optuna.create_study(sampler=sampler).optimize(cost, n_trials=trials)
    table = pd.DataFrame(results)
    return table.assign(missed=table["gain"] < target).sort_values(["missed", "cost"], ignore_index=True)


def answered_accounts(community: AttackedCommunity, bundle: Bundle) -> pd.DataFrame:
    """Return the gains when new accounts that established users answered like every post for 28 days."""
    before, rows = bundle.predict(community.before), []
    for accounts, answers in ANSWERED:
        plan = Plan(BRIDGED, accounts, "like", days=28, every=1, share=1.0, answers=answers)
        gain = (bundle.predict(community.rows_after(plan.attack(community))[0]) - before).median()
        rows.append(
            {"accounts": accounts, "answers": answers, "points": gain["score"], "people": gain["expected_audience"]}
        )
    return pd.DataFrame(rows)


def _search(path: Path, as_of: datetime | None, options: argparse.Namespace) -> pd.DataFrame | None:
    """Print the gains of answered accounts; search for plans unless --trials is 0."""
    events = open_events(path)
    at = as_of or time_range(events)[1]
    bundle = fit_unregistered(events, at, Config(outcome=Outcome(horizon_days=options.horizon_days)))
    with attacked_community(events, bundle, at, options.members, options.seed) as community:
        print("Median gains by new accounts that established users answered before:")
        print(answered_accounts(community, bundle).round(2).to_string(index=False))
        return search(community, bundle, options.target, options.trials, options.seed) if options.trials else None


def main() -> None:
    """Print the cheapest plans, and the plan with the largest gain for each kind of account."""
    args = make_parser(__doc__)
    args.add_argument("--target", type=float, default=10.0)
    args.add_argument("--trials", type=int, default=60, help="plans that the search tries; 0 for none")
    args.add_argument("--seed", type=int, default=0)
    options = args.parse_args()
    with events_or_simulation(options.events) as path:
        table = _search(path, options.as_of, options)
    if table is None:
        return
    reached = int((~table["missed"]).sum())
    print(f"\n{reached} of {len(table)} plans gain {options.target:g} points; the cheapest of them:")
    print(table[~table["missed"]].drop(columns="missed").head(5).round(2).to_string(index=False))
    print("\nThe plan with the largest gain for each kind of account:")
    most = table.loc[table.groupby("who")["gain"].idxmax()].drop(columns="missed")
    print(most.round(2).to_string(index=False))


if __name__ == "__main__":
    main()
