"""The cheapest way to gain points: python tests/benchmarks/cheapest_attack.py [EVENTS --as-of T] [--trials 60].

Optuna searches over who is recruited, how many accounts, what they do, how often and for how long, for the plan by
which a median member gains 10 points at the lowest cost: a unit per event, and per account what PRICES says. A plan
takes 200 accounts and 20,000 events at most. Established people who respond count as people and are not among them:
`clout attack` tries those as alliances. Before the search, some plans with answered accounts are tried. The model is
fitted on the events before T; without EVENTS, a community is simulated as for `frontier.py`.
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
from attacked import AttackedCommunity, attacked_community, given_or_simulated, make_parser

from features.events.event_table import open_events, time_range
from training.config import Config, Outcome
from training.model.bundle import Bundle
from training.robustness.alliances import MIN_ENGAGERS
from training.robustness.attack_environment import fit_unregistered
from training.robustness.attacks import (
    DORMANT_DAYS,
    FOR_SALE,
    OLD_DAYS,
    Attack,
    AttackContext,
    answered_questions,
    engage,
    make_posts,
)

FRESH, BRIDGED, GROWN, DORMANT, KNOWN = "fresh", "bridged", "grown", "dormant", "known dormant"
PRICES = {FRESH: 1, BRIDGED: 1, GROWN: 1, DORMANT: 20, KNOWN: 50}
MOST_ACCOUNTS, MOST_ACTS = 200, 20_000
MISSED = 100.0
ANSWERED = ((4, 2), (12, 2), (12, 3), (50, 3))  # accounts, and answers that each has had


@dataclass(frozen=True)
class Plan:
    """One attack: accounts that respond to the posts of a member.

    Parameters
    ----------
    who : what accounts are recruited: new ones; new ones to whom established users respond; ones that respond to each
        other first; bought dormant ones, any of them or those with whom most people engaged
    accounts : how many
    verb : how they respond
    days, every : for how long, and a post every so many days
    share : of the posts that each account responds to
    answers : responses of established users that each bridged account provokes
    grown_days, ring : for how long grown accounts post every week, and how many of them respond to each post

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
    """Return a tenth of the dormant accounts, those with whom most people engaged."""
    users = community.users.drop(index=community.members)
    dormant = users[(users["silent_days"] > DORMANT_DAYS) & (users["age_days"] > OLD_DAYS)]
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
    """Let accounts become known before they respond to the member: by established users, or by each other."""
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
    """Return the next plan to try."""
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
    """Try plans; return each with its gain and cost, the cheapest that reaches the target first."""
    before, history_days = bundle.predict(community.before)["score"], float(community.users["age_days"].max())
    tried = []

    def cost(trial: optuna.Trial) -> float:
        plan = suggest(trial, history_days)
        context = AttackContext(**vars(community.context) | {"rng": np.random.default_rng(seed)})
        if plan.accounts * plan.share * plan.days / plan.every > MOST_ACTS:
            return 2 * MISSED
        after, accounts, acts = community.rows_after(plan.attack(community), context)
        gain = float((bundle.predict(after)["score"] - before).median())
        units = acts + (accounts - 1) * PRICES[plan.who]
        tried.append(asdict(plan) | {"gain": gain, "acts": acts, "cost": units})
        return float(np.log10(units)) if gain >= target else MISSED - gain

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=min(20, trials // 2))
    optuna.create_study(sampler=sampler).optimize(cost, n_trials=trials)
    table = pd.DataFrame(tried)
    return table.assign(missed=table["gain"] < target).sort_values(["missed", "cost"], ignore_index=True)


def answered(community: AttackedCommunity, bundle: Bundle) -> pd.DataFrame:
    """Return what new accounts gain that established users answered before, and then like every post of 28 days."""
    before, rows = bundle.predict(community.before), []
    for accounts, answers in ANSWERED:
        plan = Plan(BRIDGED, accounts, "like", days=28, every=1, share=1.0, answers=answers)
        gain = (bundle.predict(community.rows_after(plan.attack(community))[0]) - before).median()
        rows.append(
            {"accounts": accounts, "answers": answers, "points": gain["score"], "people": gain["expected_audience"]}
        )
    return pd.DataFrame(rows)


def _search(path: Path, as_of: datetime | None, options: argparse.Namespace) -> pd.DataFrame:
    events = open_events(path)
    at = as_of or time_range(events)[1]
    bundle = fit_unregistered(events, at, Config(outcome=Outcome(horizon_days=options.horizon_days)))
    with attacked_community(events, bundle, at, options.members, options.seed) as community:
        print("New accounts that established users answered before, in the median:")
        print(answered(community, bundle).round(2).to_string(index=False))
        return search(community, bundle, options.target, options.trials, options.seed)


def main() -> None:
    """Print the cheapest plans, and for each kind of account the one that gains most."""
    args = make_parser(__doc__)
    args.add_argument("--target", type=float, default=10.0)
    args.add_argument("--trials", type=int, default=60)
    args.add_argument("--seed", type=int, default=0)
    options = args.parse_args()
    with given_or_simulated(options.events) as path:
        table = _search(path, options.as_of, options)
    reached = int((~table["missed"]).sum())
    print(f"\n{reached} of {len(table)} plans gain {options.target:g} points; the cheapest of them:")
    print(table[~table["missed"]].drop(columns="missed").head(5).round(2).to_string(index=False))
    print("\nBy kind of account, the plan that gains most:")
    most = table.loc[table.groupby("who")["gain"].idxmax()].drop(columns="missed")
    print(most.round(2).to_string(index=False))


if __name__ == "__main__":
    main()
