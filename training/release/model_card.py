"""The model card: one page of Markdown about a model, made only from its facts and figures.

The most important sections come first, because the registry's description of a version is cut to a maximum length.
"""

import json
from typing import Any

from training.dataset.sampling import sample_of
from training.evaluation.evaluate import band_name
from training.evaluation.metrics import FIGURES
from training.evaluation.report_types import BacktestReport, NotMeasured
from training.evaluation.slices import BANDS, weaknesses
from training.model.bundle import Bundle
from training.model.scale import MEDIAN_POINTS, P95_POINTS
from training.prohibited_uses import PROHIBITED_USES
from training.release.gate import Verdict
from training.release.markdown import bullets, document, lead_rows, signal_rows, table
from training.robustness.attack_report import AttackReport

# The columns of the table of groups, by heading: a field of Slice.
GROUP_FIGURES = {
    "with audience": "share_with_audience",
    "expected": "expected",
    "real": "audience",
    "total": "total",
    "AUC": "auc",
    "R2 (log)": "r2_log",
    "coverage": "coverage",
}
EXPLAINED_FIGURES = (
    "AUC: how often the score ranks a user whom anybody engages with above one whom nobody does (0.5 is chance, 1 is "
    "always).",
    "NDCG@100: how well the first 100 are chosen and ordered (1 is perfect). R2 (log): how much of the differences in "
    "the size of audiences is predicted (1 is all).",
    "Total: the expected audience of all users together, as a multiple of the real one (1 is right).",
    "Coverage: the share of users whose audience is inside their interval; `1+`: of those with an expected audience of "
    "one person or more. Interval score: the mean width of the intervals, plus a penalty of 2 / (1 - level) for each "
    "person outside of them (20 at 90 %). Lower is better.",
)
TEN_POINTS = 10.0
LARGE = 3.0  # people
LANDMARKS = (MEDIAN_POINTS, P95_POINTS, 80.0)
INTENDED = (
    "finding people who have an audience on a subject, and choosing whom to ask, to invite or to read first",
    "monitoring how a community's attention moves, and explaining it line by line",
    "a first look, with the reasons and the interval beside the number and a person deciding",
)
PROHIBITED = tuple(use.description for use in PROHIBITED_USES)


def model_card(
    bundle: Bundle, evaluation: BacktestReport, verdict: Verdict, attacks: AttackReport | NotMeasured | None = None
) -> str:
    """Write the card of a model.

    Parameters
    ----------
    bundle : the model, with its scale, features and facts
    evaluation : of its recipe, fitted one horizon earlier
    verdict : of the gate on that evaluation
    attacks : on the model, from `measure_attacks`; what ten points cost is left out without them

    Returns
    -------
    Markdown; the same for the same model, figures and verdict

    """
    sections = {
        f"Clout, model of {bundle.facts['as_of'][:10]}": [
            "A score from 0 to 100 per user. It predicts the audience: how many different people will engage with the "
            f"user in the next {bundle.horizon_days} days. It is computed from activity alone, by "
            f"{len(bundle.features)} facts about each user. LightGBM trees (Tweedie deviance) predict the audience, a "
            "logarithmic scale turns it into points, and past errors set the intervals.",
        ],
        "How to read it": _reading(bundle),
        "Intended use": bullets(INTENDED),
        "Prohibited uses": [
            "The score must not be used, alone or together with other figures, for:",
            "",
            *bullets(PROHIBITED),
        ],
        "Limits": _limits(bundle, evaluation, attacks),
        "Figures, out of time": _figures(evaluation),
        "Gate": _gate(verdict),
        "Data": _data(bundle),
        "Intervals by expected audience": _intervals(bundle, evaluation),
        "Groups of users": _groups(evaluation),
        "How to reproduce": _reproduction(bundle),
    }
    return document(sections)


def _reading(bundle: Bundle) -> list[str]:
    scale = bundle.scale
    landmarks = ", ".join(f"{_people(scale.people(mark))} at {mark:.0f} points" for mark in LANDMARKS)
    return bullets(
        [
            f"`score = clip({scale.anchor:.2f} + {scale.points_per_nat:.2f} * ln(expected audience), 0, 100)`: one "
            f"expected person is {scale.anchor:.1f} points, and 10 points more are {scale.factor_per_10_points:.2f} "
            "times the audience.",
            f"Expected audience in {bundle.horizon_days} days: {landmarks}.",
            f"When the scale was made, the median active user had {MEDIAN_POINTS:.0f} points and the 95th "
            f"percentile {scale.p95_points:.0f}. A model keeps the champion's scale unless trained with `--rescale`, "
            "so that points keep meaning the same number of people.",
            "The score counts people who engage, whether they approve or not. It does not measure a person's worth.",
        ]
    )


def _people(expected: float) -> str:
    count = f"{expected:,.0f}" if expected >= 10 else f"{expected:.2g}"
    return f"{count} {'person' if count == '1' else 'people'}"


def _gate(verdict: Verdict) -> list[str]:
    passed = "Passed." if verdict.passed else "Failed."
    forced = "" if verdict.forced is None else f" Promoted by --force: {verdict.forced}"
    return [passed + forced, "", *bullets(f"{finding.word}: {finding.message}" for finding in verdict.findings)]


def _data(bundle: Bundle) -> list[str]:
    facts = bundle.facts
    cutoffs, last = facts["training_cutoffs"], facts.get("interval_cutoffs", 1)
    newest = "the newest of them" if last == 1 else f"the newest {last} of them"
    return bullets(
        [
            f"Trained only on events before {_utc(facts['as_of'])}{_source(facts)}.",
            f"Trained on {facts['rows']:,} rows, each a user in a scope at one of {len(cutoffs)} instants, "
            f"{bundle.horizon_days} days apart, from {_utc(cutoffs[0])} to {_utc(cutoffs[-1])}; the intervals are set "
            f"by how far predictions for {newest}, by models of earlier ones, lay from what happened.",
            *([f"A sample of users: {sample}."] if (sample := sample_of(facts)) else []),
            f"Scopes: {', '.join(f'`{scope}`' for scope in bundle.scopes)}.",
            f"Catalogue of features: `{facts['catalogue']}`.",
        ]
    )


def _source(facts: dict[str, Any]) -> str:
    """Say which events the model was trained on, and by which version of the project."""
    if "events" not in facts:
        return ""
    events, source = facts["events"], facts["source"]
    commit = f", commit `{source['commit']}`" if "commit" in source else ""
    return (
        f": {events['events']:,}, from {_utc(events['first'])} on, with the digest `{events['digest']}`; by version "
        f"{source['version']} of clout-score{commit}"
    )


def _utc(stamp: str) -> str:
    return f"{stamp[:19].replace('T', ' ')} UTC"


def _figures(evaluation: BacktestReport) -> list[str]:
    ranks = evaluation.retention
    spearman = "not defined" if ranks.spearman is None else f"{ranks.spearman:.2f}"
    stayed = ", ".join(f"{100 * row.retained:.0f} % of the top {100 * row.share:.0f} %" for row in ranks.top)
    return [
        f"The same recipe, fitted one horizon earlier, predicted {evaluation.users:,} users in the "
        f"{evaluation.horizon_days} days from {_utc(evaluation.as_of)}, which it had not seen.",
        "",
        *bullets(EXPLAINED_FIGURES),
        "",
        *table(["signal", *FIGURES.values()], signal_rows(evaluation)),
        "",
        *table(["figure", "best baseline", "lead of the score", "95 % interval"], lead_rows(evaluation)),
        "",
        f"Compared with the scores one horizon earlier, the rank correlation is {spearman}; {stayed} stayed there.",
    ]


def _intervals(bundle: Bundle, evaluation: BacktestReport) -> list[str]:
    rows = []
    for band in evaluation.bands:
        figures = [f"{figure:.2f}" for figure in (band.expected, band.audience, band.coverage)]
        rows.append(
            [
                band_name(band.lower, band.upper),
                f"{band.users:,}",
                *figures,
                f"{band.width:,.1f}",
                f"{band.interval_score:,.1f}",
            ]
        )
    level = bundle.facts["config"]["interval"]["level"]
    return [
        f"Target coverage: {100 * level:g} % of users.{_coverage_of_large(evaluation)}",
        "",
        *table(
            ["people expected", "users", "mean expected", "mean real", "coverage", "mean width", "interval score"], rows
        ),
    ]


def _coverage_of_large(evaluation: BacktestReport) -> str:
    """Say how many users with a large expected audience had an audience within their interval."""
    large = [band for band in evaluation.bands if band.lower >= LARGE]
    if not (users := sum(band.users for band in large)):
        return ""
    covered = sum(band.users * band.coverage for band in large) / users
    return f" Of {users:,} users expected at {LARGE:g} people or more, {covered:.0%} had an audience within theirs."


def _groups(evaluation: BacktestReport) -> list[str]:
    rows = []
    for group in evaluation.slices:
        if group.grouping != BANDS:
            values = [getattr(group, key) for key in GROUP_FIGURES.values()]
            figures = ["" if value is None else f"{value:.2f}" for value in values]
            rows.append([group.grouping, group.group, f"{group.users:,}", *figures, f"{group.width:,.1f}"])
    return [
        "With audience is the share of users with an audience; expected, real and width are mean people.",
        "",
        *table(["by", "group", "users", *GROUP_FIGURES, "width"], rows, 2),
    ]


def _limits(bundle: Bundle, evaluation: BacktestReport, attacks: AttackReport | NotMeasured | None) -> list[str]:
    weak = weaknesses(evaluation.slices)
    limits = bullets(
        [
            "The model knows only the given activity: people with an audience elsewhere have few points here.",
            "Where a community suddenly shrinks, too many people are expected; where it suddenly grows, too few.",
            "Accounts to whom nobody established responds, however many and whatever they do, can move a score by "
            f"{bundle.most_from_anybody:.1f} points at most, by construction. Responses of established people count "
            "wherever they come from: `clout attack` measures what they gain.",
            *(_by_attacks(attacks) if isinstance(attacks, AttackReport) else ()),
            "The audience of one person varies: read the interval, not only the number.",
            _unreliable(len(weak)),
        ]
    )
    return [*limits, *(f"  {line}" for line in bullets(weak))]


def _unreliable(groups: int) -> str:
    if not groups:
        return "No group of users has unreliable figures."
    return f"The figures of {'one group' if groups == 1 else f'{groups} groups'} of users are unreliable:"


def _by_attacks(attacks: AttackReport) -> list[str]:
    """Say what attacks and alliances gained, and which ones were not tried."""
    not_tried = [f"{sentence}." for sentence in attacks.omission_reasons]
    return [*_ten_points(attacks), *attacks.answered_accounts, *not_tried]


def _ten_points(attacks: AttackReport) -> list[str]:
    """Say by how few accounts an ordinary member gained ten points, or what gained most."""
    tries = [(result.gain_median, result.accounts, result.description) for result in attacks.attacks]
    allied = [result for result in attacks.alliances or () if not result.new_member]
    tries += [(result.gain_median, result.people + 1, result.description) for result in allied]
    enough = [tried for tried in tries if tried[0] >= TEN_POINTS]
    if enough:
        gain, _, description = min(enough, key=lambda tried: (tried[1], -tried[0]))
        return [f"The cheapest way found to gain an ordinary member ten points: {description} ({gain:+.1f})."]
    gain, _, description = max(tries)
    return [
        f"None of the {len(tries)} attacks and alliances of ordinary members gains ten points. The largest gain: "
        f"{description} ({gain:+.1f})."
    ]


def _reproduction(bundle: Bundle) -> list[str]:
    return [
        f"`clout train EVENTS --as-of {bundle.facts['as_of']} --config clout.toml`, with the `clout.toml` below and "
        "the packages of the model's `requirements.txt`; a home with a champion keeps its scale.",
        "",
        "```toml",
        *_toml(bundle.facts["config"]),
        "```",
    ]


def _toml(config: dict[str, dict[str, Any]]) -> list[str]:
    """Write sections of plain values as TOML, which writes numbers, strings and lists as JSON does; omit nulls."""
    lines = []
    for section, values in config.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items() if value is not None]
    return lines
