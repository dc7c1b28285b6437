"""Printed output of the model commands: figures, drift, ablation, attacks, and the result of a training."""

from typing import TYPE_CHECKING

from features.console import print_commands, print_message, print_points, print_table, warn
from training.release.markdown import lead_rows, signal_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.drift import DriftReport
    from training.evaluation.report_types import AblationRow, EvaluationReport
    from training.home import Home
    from training.model.scale import Scale
    from training.registry.version_list import RegisteredVersion
    from training.release.promotion import Promotion
    from training.release.release_candidate import Release
    from training.robustness.attack_report import AllianceResult, Attackers, AttackReport, AttackResult, HonestAuc

MAX_FEATURES = 10
MARKS = (0, 20, 50, 80, 100)


def figures_table(figures: "EvaluationReport") -> None:
    """Print the figures of the score and of every baseline, and the score's lead over the best baseline."""
    from training.evaluation.metrics import FIGURES

    title = f"{figures.users:,} users, {figures.horizon_days} days from {figures.as_of[:10]}"
    print_table(f"Predicted and real audience: {title}", ["signal", *FIGURES.values()], signal_rows(figures))
    columns = ["figure", "best baseline", "lead", "95 % interval"]
    print_table("Lead of the score over the best baseline", columns, lead_rows(figures), 2)


def versions_table(versions: "Sequence[RegisteredVersion]") -> None:
    """Print the registered versions; where events are known, what each was trained on follows."""
    from training.evaluation.metrics import FIGURES

    names = ("auc", "coverage")
    rows = []
    for version in versions:
        state = ", ".join([*version.aliases, *(["forced"] if version.forced else [])])
        figures = [f"{version.figures[name]:.3f}" if name in version.figures else "" for name in names]
        trained = (version.as_of or "")[:10]
        rows.append([version.version, version.registered[:10], trained, version.gate or "", *figures, state])
    columns = ["version", "registered", "trained to", "gate", *(FIGURES[name] for name in names), ""]
    print_table("Versions of the model", columns, rows, 4)
    print_points("", filter(None, map(_trained_on, versions)))


def _trained_on(version: "RegisteredVersion") -> str:
    facts = version.trained_on
    if "events" not in facts:
        return ""
    span = f"{facts['events_first'][:10]} to {facts['events_last'][:10]}"
    commit = f", commit {facts['clout_commit'][:12]}" if "clout_commit" in facts else ""
    by = f"clout {facts['clout_version']}{commit}"
    return f"{version.version}: {int(facts['events']):,} events of {span}, digest {facts['events_digest']}; {by}"


def ablation_table(rows: "Sequence[AblationRow]") -> None:
    """Print the figures of each variant of the recipe."""
    from training.evaluation.metrics import FIGURES, RANKING

    columns = {key: FIGURES[key] for key in (*RANKING, "total")} | {"level_error": "|ln total|"}
    cells = [[row.variant, *(f"{getattr(row, key):.3f}" for key in columns)] for row in rows]
    title = f"Ablation: means over {rows[0].folds} past cutoffs, out of time"
    print_table(title, ["variant", *columns.values()], cells)


def print_training(result: "Release", home: "Home") -> None:
    """Print the figures, the scale, the gate's findings, and what was registered."""
    from training.dataset.sampling import sample_of

    figures_table(result.evaluation)
    if result.evaluation.ablation is not None:
        ablation_table(result.evaluation.ablation)
    if sample := sample_of(result.bundle.facts):
        auc, half = result.evaluation.score_metric("auc"), result.evaluation.auc_of_half
        print_message(f"Trained on {sample}. AUC is {auc:.3f}, and {half:.3f} with half of the sample.")
    _print_scale(result)
    print_gate(result, home)
    if tuned := result.tuned:
        print_message(f"Tuned: {tuned.finished} trials finished, {tuned.pruned} pruned. For a clout.toml:")
        print_message("\n".join(["[model]", *(f"{name} = {value}" for name, value in tuned.model)]))


def print_gate(result: "Release", home: "Home") -> None:
    """Print the findings, failed ones as warnings, whether the version was promoted, and the next commands."""
    verdict, version, before = result.verdict, result.version, result.champion_before
    for finding in verdict.findings:
        (warn if finding.passed is False else print_message)(f"gate, {finding.word}: {finding.message}.")
    registered = f"Registered as version {version} of the model 'clout'"
    if verdict.promotes:
        print_message(f"{registered}, champion{f' in place of version {before}' if before else ''}.")
        if verdict.forced is not None:
            warn(f"the gate failed; promoted by --force: {verdict.forced}.")
    else:
        champion = f"version {before} stays champion" if before else "there is no champion yet"
        print_message(f"{registered}, challenger; {champion}.")
        from training.release.shortfalls import shortfalls, suggestions

        warn("the gate failed.")
        print_points("What fell short", shortfalls(result.measured, verdict))
        print_points("What to try", suggestions(result.bundle, verdict))
    print_commands("Next:", _next_commands(verdict.promotes, version, home))


def _next_commands(promoted: bool, version: str, home: "Home") -> dict[str, str]:
    card = {home.command(f"card --version {version}"): "its card; its plots are in the MLflow run, under plots/"}
    if promoted:
        return {home.command("score EVENTS"): "scores everybody"} | card
    return {
        home.command(f"score EVENTS --version {version}"): "scores with it for inspection, marked as not released",
        home.command(f"gate --version {version}"): "the whole report",
        home.command(f"promote {version} --force REASON"): "makes it the champion anyway",
    } | card


def _print_scale(result: "Release") -> None:
    scale, days = result.bundle.scale, result.bundle.horizon_days
    print_message(
        f"Scale: {', '.join(f'{points} points are {scale.people(points):,.3g}' for points in MARKS[1:-1])} people "
        f"within {days} days; 10 points more are {scale.factor_per_10_points:.2f} times the audience."
    )
    _print_scale_change(scale, result.scale_before, "" if result.promoted else " once this version is promoted")


def _print_scale_change(scale: "Scale", before: "Scale | None", condition: str = "") -> None:
    if before is not None and before != scale:
        points_now = ", ".join(f"{points} become {scale.from_other(before, points):.1f}" for points in MARKS)
        message = f"another scale: for the same expected audience, points of {points_now}{condition}."
        warn(f"{message} Earlier scores are not comparable.")


def print_promotion(promotion: "Promotion") -> None:
    """Print the versions before and after, and how points change if the scale is different."""
    change = f"from version {promotion.before[1]}" if promotion.before else "from none"
    trained = promotion.bundle.facts["as_of"][:10]
    print_message(f"Champion of the model 'clout': {change} to version {promotion.version}, a model of {trained}.")
    if promotion.forced is not None:
        warn(f"it has not passed its gate; promoted by --force: {promotion.forced}.")
    _print_scale_change(promotion.bundle.scale, promotion.before[0].scale if promotion.before else None)


def print_monitoring(report: "DriftReport", version: str, run: str) -> None:
    """Print the drift, the evaluation if there is one, the findings, and the alarms last."""
    drift_table(report)
    if report.realised is not None:
        figures_table(report.realised)
    for finding in report.findings:
        if finding not in report.alarms:
            print_message(f"monitor: {finding}.")
    for alarm in report.alarms:
        warn(f"past its limit: {alarm}.")
    verdict = "within all limits" if report.within_limits else f"{len(report.alarms)} past their limits"
    print_message(f"Version {version} as of {report.as_of[:10]}: {verdict}; logged as the MLflow run {run}.")


def drift_table(report: "DriftReport") -> None:
    """Print the score's drift, and that of the features that raise an alarm or whose drift has most weight."""
    score, level = report.score, report.level
    rows = [[name, f"{live:.1f}", f"{score.reference[name]:.1f}"] for name, live in score.live.items()]
    rows.append(["expected audience", f"{level.live:.3f}", f"{level.reference:.3f}"])
    rows.append(["users", f"{report.users:,}", f"{report.reference_users:,}"])
    print_table("Score: now, and in training", ["", report.as_of[:10], report.reference_as_of[:10]], rows)
    rows = [["score", score.status, f"{score.psi:.3f}", "", "", ""]]
    urgent = sorted(report.features, key=lambda feature: (feature.alarm, feature.psi * feature.weight), reverse=True)
    for feature in urgent[:MAX_FEATURES]:
        shares = [f"{share:.1%}" for share in (feature.weight, feature.unknown_live, feature.unknown_reference)]
        rows.append([feature.feature, feature.status, f"{feature.psi:.3f}", *shares])
    columns = ["", "", "PSI", "gain", "unknown", "then"]
    print_table("Drift since training; gain: how much the model uses it", columns, rows, 2)


def attacks_table(report: "AttackReport") -> None:
    """Print what each attack costs and gains in each mode, beside its gain under the best baseline."""
    best = report.best_baseline
    costs = ["accounts", "events", "gain", "95th pct", "allowed", ""]
    columns = ["attack", *costs, f"by {_words(best)}"]
    descriptions = {result.attack: result.description for result in report.attacks}
    for mode in dict.fromkeys(result.mode for result in report.attacks):
        rows = [_attack_row(result, best) for result in report.attacks if result.mode == mode]
        print_table(f"Points an ordinary member gains, as of {report.as_of:%Y-%m-%d}; mode {mode}", columns, rows)
    print_points("For each member", (f"{_words(name)}: {text}" for name, text in descriptions.items()))
    print_message(
        f"{_count_within('attacks', report.attacks)} {_words(best).capitalize()} is the best baseline. The median "
        f"active user has {report.median_active:.1f} points."
    )
    if report.alliances:
        _print_alliances(report.alliances)
    print_points("Not tried here", report.omission_reasons)
    for cost in report.answered_accounts:
        print_message(cost)
    if report.most_from_anybody is not None:
        print_message(
            "Accounts to whom nobody established responds, however many and whatever they do, can move a score by "
            f"{report.most_from_anybody:.1f} points at most. That holds by construction of the model."
        )
    if report.attackers is not None and report.honest_auc is not None:
        _print_poisoning(report.attackers, report.honest_auc)


def _print_alliances(alliances: "Sequence[AllianceResult]") -> None:
    columns = ["alliance", "points", "people expected", "allowed", ""]
    rows = [
        [
            result.description,
            result.points,
            f"{result.people_gain_median:+.2f}",
            f"{result.people_limit:.2f}",
            _verdict(result),
        ]
        for result in alliances
    ]
    print_table("What established people gain a member by responding on demand, in the median", columns, rows)
    print_message(_count_within("alliances", alliances))


def _verdict(result: "AttackResult | AllianceResult") -> str:
    """Say whether a gain is within its limit; unclear where only the median exceeds it, not the whole interval."""
    return "EXCEEDED" if result.exceeds else "within" if result.within_limit else "unclear"


def _count_within(kind: str, results: "Sequence[AttackResult | AllianceResult]") -> str:
    """Say how many stay within their limits, and that of the others not all exceed it with their whole interval."""
    unclear = sum(_verdict(result) == "unclear" for result in results)
    within = f"{sum(result.within_limit for result in results)} of {len(results)} {kind} are within their limit"
    beyond = f"; {unclear} exceed it in the median, but not with the whole 95 % interval, so the gate lets them pass"
    return f"{within}{beyond if unclear else ''}."


def _attack_row(result: "AttackResult", best: str) -> list[str]:
    gains = [f"{result.gain_median:+.1f}", f"{result.gain_p95:+.1f}", f"{result.allowed:.1f}"]
    of = f" of {result.accounts_intended:,}" if result.accounts_intended else ""
    costs = [f"{result.accounts:,}{of}", f"{result.acts:,}"]
    return [_words(result.attack), *costs, *gains, _verdict(result), f"{result.baselines[best]:+.1f}"]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _print_poisoning(attackers: "Attackers", quality: "HonestAuc") -> None:
    verdict = "within" if quality.within_limit else "EXCEEDED"
    print_message(
        f"Trained among {attackers.accounts:,} attackers' accounts ({attackers.share:.1%}, which add "
        f"{attackers.events:,} events), AUC over honest users goes from {quality.clean:.3f} to "
        f"{quality.poisoned:.3f}; it may fall by {quality.limit:g}: {verdict}."
    )
