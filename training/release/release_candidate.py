"""Release a candidate: check it, register it with its documents, and promote it if it passes the gate."""

from dataclasses import dataclass
from typing import Any

import ibis.expr.types as ir

from features.progress import StepProgress, ignore_progress, of_step
from training.evaluation.report_types import BacktestReport
from training.home import Home
from training.model.bundle import Bundle
from training.model.scale import Scale
from training.model_selection.tuning import TuningResult
from training.registry import model_registry
from training.registry.model_registry import CARD, FAILED, GATE, GATE_TAG, PASSED
from training.release.checks import measure_attacks, measure_churn
from training.release.gate import GateInput, Verdict, evaluate_gate, normalize_override_reason
from training.release.gate_report import gate_report
from training.release.model_card import model_card
from training.train import Candidate, timed


@dataclass(frozen=True)
class Release:
    """A registered version.

    Parameters
    ----------
    bundle, version : the model and its version in the registry
    measured, verdict : what the gate decided on, and its decision
    promoted : whether it is the champion now
    tuned : the result of the tuning, if there was one
    scale_before, champion_before : scale and version of the champion before, None where there was none

    """

    bundle: Bundle
    version: str
    measured: GateInput
    verdict: Verdict
    promoted: bool
    tuned: TuningResult | None = None
    scale_before: Scale | None = None
    champion_before: str | None = None

    @property
    def evaluation(self) -> BacktestReport:
        """The out-of-time evaluation of the model's recipe."""
        return self.measured.evaluation


def release(
    candidate: Candidate,
    home: Home,
    event_table: ir.Table | None = None,
    force: str | None = None,
    progress: StepProgress = ignore_progress,
) -> Release:
    """Register a candidate as challenger, and promote it if it passes the gate.

    Parameters
    ----------
    candidate : from `train`
    home : where the registry is
    event_table : the events that the candidate was trained on, from `open_events`; None leaves attacks unmeasured
    force : why it is promoted even if the gate fails; None leaves it to the gate
    progress : called with a step's name and the share of it that is done

    Raises
    ------
    RegistryError : the registry cannot be reached
    GateError : the reason to override the gate is blank

    """
    force = normalize_override_reason(force)
    bundle, config, champion = candidate.bundle, candidate.config, candidate.champion
    with timed("churn", progress):
        churn = measure_churn(candidate.events, bundle, champion, config, candidate.rescaled)
    with timed("attacks", progress):
        attacks = measure_attacks(event_table, bundle, config, of_step(progress, "attacks"))
    measured = GateInput(candidate.evaluation, churn, attacks)
    verdict = evaluate_gate(measured, config.gate).override(force)
    with timed("register", progress):
        version = register(candidate, home, measured, verdict)
    before = (champion.bundle.scale, champion.version) if champion else (None, None)
    return Release(bundle, version, measured, verdict, verdict.promotes, candidate.tuned, *before)


def register(candidate: Candidate, home: Home, measured: GateInput, verdict: Verdict) -> str:
    """Register a version with its card and the gate's report, promote it if the verdict says so, and return it."""
    bundle = candidate.bundle
    card = model_card(bundle, measured.evaluation, verdict, measured.attacks)
    texts = {CARD: card, GATE: gate_report(bundle, measured, verdict)}
    tags = {GATE_TAG: PASSED if verdict.passed else FAILED}
    params, metrics, report = _params(bundle), _metrics(measured.evaluation), report_document(measured, verdict)
    version = model_registry.register(home, bundle, params, metrics, report, candidate.figures, texts, tags)
    if verdict.promotes:
        model_registry.promote(home, version, verdict.forced)
    return version


def report_document(measured: GateInput, verdict: Verdict) -> dict[str, Any]:
    """Return the JSON report of a version: its evaluation, and under `gate` the verdict and what it is based on."""
    return measured.evaluation.as_json() | {"gate": verdict.as_json() | measured.as_json()}


def _params(bundle: Bundle) -> dict[str, Any]:
    """Return the configuration and facts as MLflow takes parameters, flat."""
    sections = bundle.facts["config"].items()
    params = {f"{section}.{key}": value for section, settings in sections for key, value in settings.items()}
    facts, source = bundle.facts, bundle.facts.get("source", {})
    trained_on = {key if key == "events" else f"events_{key}": value for key, value in facts.get("events", {}).items()}
    by = {f"clout_{key}": value for key, value in source.items()}
    return params | {key: facts[key] for key in ("as_of", "rows", "catalogue")} | trained_on | by


def _metrics(evaluation: BacktestReport) -> dict[str, float]:
    """Return the figures as MLflow takes metrics, flat; undefined ones are omitted."""
    metrics = {
        f"{signal}.{key}": value
        for signal, values in evaluation.metrics.items()
        for key, value in values.items()
        if value is not None
    }
    return metrics | {f"lead.{key}": lead.margin for key, lead in evaluation.margins.items()}
