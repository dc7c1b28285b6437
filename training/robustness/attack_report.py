"""Attack reports: what each attack gains, whether it stays within its limit, and their JSON form."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar

import numpy as np
from scipy.stats import binom

from training.evaluation.report_types import Report

SCORING, TRAINING = "scoring", "training"


def low_median(values: np.ndarray) -> float:
    """Return the lower end of the 95 % interval of a median, the value whose rank the sign test gives."""
    below = int(binom.ppf(0.025, len(values), 0.5))
    return float(np.sort(values)[max(below - 1, 0)])


@dataclass(frozen=True)
class AttackResult(Report):
    """What one attack gains an ordinary member.

    Parameters
    ----------
    attack : its name in ATTACKS
    description : what is done for one member, in words
    mode : SCORING or TRAINING
    members : how many ordinary members attacked
    accounts, acts : how many accounts act in one attack, and their events per member; provoked events do not count
    gain_median, gain_p95 : points gained, over the members
    gain_low : the lower end of the 95 % interval of the median, from `low_median`
    end_score_median : points after the attack; for a bot, those of the new account
    gain_per_1000_acts : points per 1,000 events, None without events
    baselines, baselines_per_1000_acts : the same for each baseline, by name
    limit : points that the median member may gain; twice the attack's own where the model learnt among attackers
    of_best_baseline : the gain over the best baseline's gain, None where that is below one point
    allowed : the largest gain that is within the limits
    within_limit : whether the gain is at most `allowed`, and a bot does not end above the median active user
    accounts_intended : how many would act if the community had enough dormant ones; None where it has

    """

    absent_if_none: ClassVar[tuple[str, ...]] = ("accounts_intended",)

    attack: str
    description: str
    mode: str
    members: int
    accounts: int
    acts: int
    gain_median: float
    gain_p95: float
    gain_low: float
    end_score_median: float
    gain_per_1000_acts: float | None
    baselines: dict[str, float]
    baselines_per_1000_acts: dict[str, float | None]
    limit: float
    of_best_baseline: float | None
    allowed: float
    within_limit: bool
    accounts_intended: int | None = None

    @property
    def exceeds(self) -> bool:
        """Whether the gain lies past the limit with its whole interval, or a bot above the median active user."""
        return self.gain_low > self.allowed or (not self.within_limit and self.gain_median <= self.allowed)


@dataclass(frozen=True)
class AllianceResult(Report):
    """What established people who respond on demand gain an ordinary member or a new account.

    Parameters
    ----------
    alliance : its name in ALLIANCES
    description : what is done for one member, in words
    members : how many ordinary members tried it
    people : how many people respond to a member
    exchanged : whether they answer each other
    gain_median : points gained, in the median
    people_gain_median : by how many people the expected audience rises, in the median
    people_gain_low : the lower end of the 95 % interval of this median, from `low_median`
    people_limit : by how many it may rise
    within_limit : whether it rises by that at most in the median, and the points by `points_limit`
    answers : how many established users answered each of the new accounts that respond; 0 for other people
    acts : events per member; those by which established users answer new accounts do not count
    gain_low : the lower end of the 95 % interval of the median of points
    points_limit : how many points may be gained; None where people alone are limited
    new_member : whether it is a new account, which gains beyond one that posts the same and that nobody answers

    """

    absent_if_none: ClassVar[tuple[str, ...]] = ("points_limit",)

    alliance: str
    description: str
    members: int
    people: int
    exchanged: bool
    gain_median: float
    people_gain_median: float
    people_gain_low: float
    people_limit: float
    within_limit: bool
    answers: int = 0
    acts: int = 0
    gain_low: float = 0.0
    points_limit: float | None = None
    new_member: bool = False

    @property
    def exceeds(self) -> bool:
        """Whether a median lies past its limit with its whole interval: few members alone prove nothing."""
        many_points = self.points_limit is not None and self.gain_low > self.points_limit
        return many_points or self.people_gain_low > self.people_limit

    @property
    def points(self) -> str:
        """The points gained in the median, with their limit where there is one."""
        return f"{self.gain_median:+.1f}{'' if self.points_limit is None else f' of {self.points_limit:g}'}"

    @property
    def cost(self) -> str:
        """What new accounts that established users answered cost and gain, and why they may gain so much."""
        limit = "" if self.points_limit is None else f" (limit {self.points_limit:g})"
        return (
            f"{self.people} new accounts, each really answered by {self.answers} established users, move the score of "
            f"an ordinary member by {self.gain_median:+.1f} points{limit} and the expected audience by "
            f"{self.people_gain_median:+.1f} people (limit {self.people_limit:g}), for {self.acts:,} events: "
            "nothing tells them from newcomers who are heard."
        )


@dataclass(frozen=True)
class Omission(Report):
    """An attack or alliance that a community does not allow to try, and why.

    Parameters
    ----------
    name, title : as in reports, and in words
    kind : `attack` or `alliance`
    reason : why it was not tried

    """

    name: str
    title: str
    kind: str
    reason: str


@dataclass(frozen=True)
class Attackers(Report):
    """The attackers in a model's training: their accounts, share of all accounts of a year, and events."""

    accounts: int
    share: float
    events: int


@dataclass(frozen=True)
class HonestAuc(Report):
    """AUC over honest users of a model fitted without and with attackers, and by how much it may fall (`limit`)."""

    clean: float
    poisoned: float
    limit: float

    @property
    def within_limit(self) -> bool:
        """Whether the AUC falls by at most the limit."""
        return bool(self.clean - self.poisoned <= self.limit)

    def as_json(self) -> dict[str, Any]:
        """Return the fields and `within_limit`, whether the limit is met."""
        return {**super().as_json(), "within_limit": self.within_limit}


@dataclass(frozen=True)
class AttackReport(Report):
    """What every attack gains in a community at an instant.

    Parameters
    ----------
    as_of : the instant
    best_baseline : the baseline that ranks honest users best
    median_active : points of the median user that acted in the last 28 days and is not absent
    attacks : one result per attack and mode
    attackers, honest_auc : of mode TRAINING, else None
    alliances : one result per alliance; None where they were not tried
    omissions : the attacks and alliances that a young or small community does not allow to try
    most_from_anybody : the points by which accounts to whom nobody established responds can move a score, whatever
        they do; None where it was not asked for
    young_history_days : how long the history is where it is shorter than 360 days and alliances were tried, else None

    """

    absent_if_none: ClassVar[tuple[str, ...]] = (
        *("attackers", "honest_auc", "alliances", "most_from_anybody", "young_history_days"),
    )

    as_of: datetime
    best_baseline: str
    median_active: float
    attacks: tuple[AttackResult, ...]
    attackers: Attackers | None = None
    honest_auc: HonestAuc | None = None
    alliances: tuple[AllianceResult, ...] | None = None
    most_from_anybody: float | None = None
    omissions: tuple[Omission, ...] = ()
    young_history_days: float | None = None

    @property
    def within_limits(self) -> bool:
        """Whether every attack and alliance is within its limit, and the AUC over honest users too."""
        auc = self.honest_auc is None or self.honest_auc.within_limit
        allied = all(result.within_limit for result in self.alliances or ())
        return auc and allied and all(result.within_limit for result in self.attacks)

    @property
    def answered_accounts(self) -> list[str]:
        """The `cost` of each alliance of new accounts that established users answered."""
        return [result.cost for result in self.alliances or () if result.answers]

    @property
    def omission_reasons(self) -> list[str]:
        """A sentence for each reason for which attacks or alliances were not tried, which names them."""
        by_reason: dict[tuple[str, str], list[str]] = {}
        for omission in self.omissions:
            by_reason.setdefault((omission.kind, omission.reason), []).append(omission.title)
        return [
            f"{f'1 {kind} was' if len(titles) == 1 else f'{len(titles)} {kind}s were'} not tried, because {reason}: "
            f"{', '.join(titles)}"
            for (kind, reason), titles in by_reason.items()
        ]

    def followed_by(self, other: "AttackReport") -> "AttackReport":
        """Return one report of both; `median_active` is this one's."""
        attackers, auc = other.attackers or self.attackers, other.honest_auc or self.honest_auc
        omissions = tuple(dict.fromkeys((*self.omissions, *other.omissions)))
        attacks = (*self.attacks, *other.attacks)
        return replace(self, attacks=attacks, attackers=attackers, honest_auc=auc, omissions=omissions)

    def as_json(self) -> dict[str, Any]:
        """Return the fields and `within_limits`; `attackers` and `honest_auc` only where they were measured."""
        return {**super().as_json(), "within_limits": self.within_limits}


def in_words(name: str) -> str:
    """Return the name of an attack, an alliance or a baseline in words."""
    return name.replace("_", " ")
