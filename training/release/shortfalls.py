"""What a model that failed its gate fell short in, in people, and what its maker can try."""

from collections.abc import Callable

from training.evaluation.report_types import BacktestReport, ChampionComparison
from training.model.bundle import Bundle
from training.release.gate import Finding, GateInput, Verdict

AUC, NDCG, R2, CALIBRATION, COVERAGE = "auc", "ndcg_100", "r2_log", "calibration", "coverage"
OF_THE_FORECAST = ("baseline_", "champion_", CALIBRATION, COVERAGE)


def shortfalls(measured: GateInput, verdict: Verdict) -> list[str]:
    """Return a sentence for each failed finding, which says in users and people what fell short."""
    return [_shortfall(finding, measured.evaluation) for finding in verdict.findings if finding.passed is False]


def _shortfall(finding: Finding, evaluation: BacktestReport) -> str:
    describe = {CALIBRATION: _calibration, COVERAGE: _coverage}.get(finding.name)
    rival, _, metric = finding.name.partition("_")
    if rival in ("baseline", "champion") and metric in COMPARISONS:
        return _comparison(rival, metric, evaluation)
    return describe(evaluation) if describe else f"{finding.message[0].upper()}{finding.message[1:]}."


COMPARISONS: dict[str, Callable[[float], str]] = {
    AUC: lambda value: f"of 100 pairs of a user with an audience and one without, {100 * value:.0f} in the right order",
    NDCG: lambda value: f"{100 * value:.0f} % of what a perfect list of the 100 users with most people gains",
    R2: lambda value: f"{100 * value:.0f} % of what distinguishes users' audiences",
}


def _comparison(rival: str, metric: str, evaluation: BacktestReport) -> str:
    own = evaluation.score_metric(metric)
    if rival == "champion":
        comparison = evaluation.champion
        assert isinstance(comparison, ChampionComparison)
        name, other = f"the champion, version {comparison.version},", comparison.margins[metric].champion
    else:
        baseline = evaluation.margins[metric].best_baseline
        name, other = f"{baseline.replace('_', ' ')} alone", evaluation.metrics[baseline][metric] or 0.0
    says = COMPARISONS[metric]
    return f"Among {evaluation.users:,} users, the score gets {says(own)}; {name} would get {100 * other:.0f}."


def _calibration(evaluation: BacktestReport) -> str:
    expected, real = (
        sum(band.users * getattr(band, side) for band in evaluation.bands) for side in ("expected", "audience")
    )
    more = "more" if expected > real else "fewer"
    return (
        f"It expected {expected:,.0f} people for the {evaluation.users:,} users together, {more} than the {real:,.0f} "
        "who engaged."
    )


def _coverage(evaluation: BacktestReport) -> str:
    covered = 100 * evaluation.score_metric(COVERAGE)
    return f"Of 100 users, {covered:.0f} had an audience within their interval."


def suggestions(bundle: Bundle, verdict: Verdict) -> list[str]:
    """Return what the maker of a model that failed can try, a sentence each; nothing for one that passed."""
    failed = [finding.name for finding in verdict.findings if finding.passed is False]
    tries = [*_more_to_learn_from(bundle)] if any(name.startswith(OF_THE_FORECAST) for name in failed) else []
    config = bundle.facts["config"]
    if COVERAGE in failed and (level := config["interval"]["level"]) < config["gate"]["coverage"]:
        purpose = f"the intervals are made for {100 * level:g} % of users ([interval] level)"
        tries.append(f"Lower coverage under [gate] in clout.toml: {purpose}.")
    if CALIBRATION in failed:
        tries.append("If the community just grew or shrank, train again a horizon later: the level is learnt anew.")
    if {"attacks", "alliances"} & set(failed):
        tries.append("Name users you trust under seeds of [credibility] in clout.toml: trust then starts with them.")
    if "churn" in failed:
        tries.append("If the scores are meant to move, promote it with --force; the report lists who moves most.")
    return tries


def _more_to_learn_from(bundle: Bundle) -> list[str]:
    """Suggest more history and another horizon, by what the model learned from."""
    days, facts = bundle.horizon_days, bundle.facts
    cutoffs, most = len(facts["training_cutoffs"]), facts["config"]["panel"]["cutoffs"]
    learned = f"It learned from {facts['rows']:,} rows at {cutoffs} instants"
    history = f"Bring more history. {learned}; {(most + 1) * days} days of events before --as-of give {most}."
    return [
        history if cutoffs < most else f"Bring more users. {learned}, the most it takes.",
        f"Try another horizon under [outcome] in clout.toml: horizon_days = {max(days // 2, 1)} gives more instants "
        f"from the same history, {2 * days} gives more users an audience.",
        "Try clout train --tune 30, which searches the settings of the model.",
    ]
