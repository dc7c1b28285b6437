"""What the commands print about models: figures, drift, the ablation, and what a training came to."""

from typing import TYPE_CHECKING

from features.console import print_message, print_table, warn
from training.reports.markdown import lead_rows, signal_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.evaluation.report import AblationRow, EvaluationReport
    from training.model.scale import Scale
    from training.registration import Release
    from training.release.promotion import Promotion
    from training.robustness.attack_report import Attackers, AttackReport, AttackResult, HonestAuc

SHOWN_FEATURES = 10
MARKS = (0, 20, 50, 80, 100)


def figures_table(figures: "EvaluationReport") -> None:
    """Print the score's figures beside every baseline's, and its lead over the best of them."""
    from training.evaluation.metrics import FIGURES

    until = f"{figures.horizon_days} days from {figures.as_of[:10]}"
    print_table(
        f"What was foretold: {figures.users:,} users, {until}", ["signal", *FIGURES.values()], signal_rows(figures)
    )
    columns = ["figure", "best baseline", "lead", "95 % interval"]
    print_table("Lead of the score over the best baseline", columns, lead_rows(figures), 2)


def ablation_table(rows: "Sequence[AblationRow]") -> None:
    """Print what each variant of the recipe reaches."""
    from training.evaluation.metrics import FIGURES, RANKING

    columns = {key: FIGURES[key] for key in (*RANKING, "total")} | {"level_error": "|ln total|"}
    shown = [[row.variant, *(f"{getattr(row, key):.3f}" for key in columns)] for row in rows]
    print_table(
        f"Ablation: means over {rows[0].folds} past cutoffs, out of time", ["variant", *columns.values()], shown
    )


def tell_training(made: "Release") -> None:
    """Print the figures, the scale, the gate's findings, and what was registered."""
    figures_table(made.evaluation)
    if made.evaluation.ablation is not None:
        ablation_table(made.evaluation.ablation)
    _tell_scale(made)
    tell_gate(made)
    print_message(f"Its card: clout card --version {made.version}; its pictures are in the MLflow run, under plots/.")
    if made.tuned is not None:
        print_message(f"Tuned: {made.tuned.finished} trials finished, {made.tuned.pruned} pruned. For a clout.toml:")
        print_message("\n".join(["[model]", *(f"{name} = {value}" for name, value in made.tuned.model)]))


def tell_gate(made: "Release") -> None:
    """Print the findings, those which failed as warnings, and what became of the version."""
    verdict, version, before = made.verdict, made.version, made.champion_before
    for finding in verdict.findings:
        (warn if finding.passed is False else print_message)(f"gate, {finding.word}: {finding.message}.")
    registered = f"Registered as version {version} of the model 'clout'"
    if verdict.promotes:
        print_message(f"{registered}, champion{f' in the place of version {before}' if before else ''}.")
    if verdict.forced is not None:
        warn(f"the gate failed; promoted all the same, by force: {verdict.forced}.")
    if not verdict.promotes:
        stays = f"version {before} stays champion" if before else "there is no champion yet, so nothing can be scored"
        print_message(f"{registered}, challenger; {stays}.")
        warn(
            f"the gate failed. 'clout gate --version {version}' prints its report; to promote the version all the "
            f"same, say why: clout promote {version} --force REASON."
        )


def _tell_scale(made: "Release") -> None:
    scale, before = made.bundle.scale, made.scale_before
    days = made.bundle.horizon_days
    print_message(
        f"Scale: {', '.join(f'{points} points are {scale.people(points):,.3g}' for points in MARKS[1:-1])} people "
        f"within {days} days; 10 points more are {scale.factor_per_10_points:.2f} times the audience."
    )
    if before is not None:
        _tell_points(scale, before, "" if made.promoted else " once this version is promoted")


def _tell_points(scale: "Scale", before: "Scale", where: str = "") -> None:
    if before != scale:
        moved = ", ".join(f"{points} become {scale.from_other(before, points):.1f}" for points in MARKS)
        warn(f"another scale: for the same expected audience, points of {moved}{where}. Earlier scores do not compare.")


def tell_promotion(made: "Promotion") -> None:
    """Print from which version to which, and what becomes of points where the scale is another."""
    came = f"from version {made.before[1]} to version {made.version}" if made.before else f"to version {made.version}"
    print_message(f"The champion of the model 'clout' goes {came}, a model of {made.bundle.facts['as_of'][:10]}.")
    if made.forced is not None:
        warn(f"its gate has not passed; promoted all the same, by force: {made.forced}.")
    if made.before is not None:
        _tell_points(made.bundle.scale, made.before[0].scale)


def tell_monitor(report: dict, run: str) -> None:
    """Print the drift, the forecast where it could be judged, the findings, and the alarms last."""
    drift_table(report)
    if report["realised"]:
        figures_table(report["realised"])
    for finding in report["findings"]:
        if finding not in report["alarms"]:
            print_message(f"monitor: {finding}.")
    for alarm in report["alarms"]:
        warn(f"past its limit: {alarm}.")
    verdict = "every limit is kept" if report["held"] else f"{len(report['alarms'])} past their limits"
    print_message(
        f"Version {report['model_version']} as of {report['as_of'][:10]}: {verdict}; logged as the MLflow run {run}."
    )


def drift_table(report: dict) -> None:
    """Print the score's drift, and that of the features which alarm or whose drift weighs most in the model."""
    score, audience = report["score"], report["level"]
    levels = [[name, f"{score['live'][name]:.1f}", f"{score['reference'][name]:.1f}"] for name in score["live"]]
    levels.append(["expected audience", f"{audience['live']:.3f}", f"{audience['reference']:.3f}"])
    levels.append(["users", f"{report['users']:,}", f"{report['reference_users']:,}"])
    days = [report[key][:10] for key in ("as_of", "reference_as_of")]
    print_table("Score: now, and in training", ["", *days], levels)

    def urgency(feature: dict) -> tuple[bool, float]:
        return feature["alarm"], feature["psi"] * feature["weight"]

    rows = [["score", score["status"], f"{score['psi']:.3f}", "", "", ""]]
    for feature in sorted(report["features"], key=urgency, reverse=True)[:SHOWN_FEATURES]:
        shares = [f"{feature[key]:.1%}" for key in ("weight", "unknown_live", "unknown_reference")]
        rows.append([feature["feature"], feature["status"], f"{feature['psi']:.3f}", *shares])
    columns = ["", "", "PSI", "gain", "unknown", "then"]
    print_table("Drift since training; gain: how much the model uses it", columns, rows, 2)


def attacks_table(report: "AttackReport") -> None:
    """Print what each attack costs and gains in each mode, beside the best baseline and the one that gains most."""
    best = report.best_baseline
    costs = ["accounts", "acts", "gain", "95th pct", "allowed", ""]
    columns = ["attack", *costs, f"by {best.replace('_', ' ')}", "most by"]
    for mode in dict.fromkeys(result.mode for result in report.attacks):
        rows = [_attack_row(result, best) for result in report.attacks if result.mode == mode]
        print_table(f"Points an ordinary member gains, as of {report.as_of:%Y-%m-%d}; mode {mode}", columns, rows)
    count = sum(result.within_limit for result in report.attacks)
    print_message(
        f"{count} of {len(report.attacks)} attacks are within their limit; {best.replace('_', ' ')} is the best "
        f"baseline. The median active user has {report.median_active:.1f} points."
    )
    if report.attackers is not None and report.honest_auc is not None:
        _print_poisoning(report.attackers, report.honest_auc)


def _attack_row(result: "AttackResult", best: str) -> list[str]:
    name, most = max(result.baselines.items(), key=lambda item: item[1])
    gains = [f"{result.gain_median:+.1f}", f"{result.gain_p95:+.1f}", f"{result.allowed:.1f}"]
    verdict = "within" if result.within_limit else "EXCEEDED"
    baseline_gains = [f"{result.baselines[best]:+.1f}", f"{most:+.1f} {name.replace('_', ' ')}"]
    return [result.description, f"{result.accounts:,}", f"{result.acts:,}", *gains, verdict, *baseline_gains]


def _print_poisoning(attackers: "Attackers", quality: "HonestAuc") -> None:
    verdict = "within" if quality.within_limit else "EXCEEDED"
    print_message(
        f"Trained among {attackers.accounts:,} attackers' accounts ({attackers.share:.1%}, which add "
        f"{attackers.events:,} events), AUC over honest users goes from {quality.clean:.3f} to "
        f"{quality.poisoned:.3f}; it may fall by {quality.limit:g}: {verdict}."
    )
