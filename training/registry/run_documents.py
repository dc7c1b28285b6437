"""Documents logged with a version: its report, its model card and the gate's report."""

from typing import Any

from features.errors import RegistryError
from training.home import Home
from training.registry.mlflow_session import is_new, mlflow_session
from training.registry.model_registry import (
    CARD,
    CHALLENGER,
    CHAMPION,
    GATE,
    MODEL,
    REPORT,
    load_version,
    local_model,
    missing_alias_error,
    tags_of,
    version_of_alias,
)

# Names in reports of development versions, and those of today. `told` was the text of a finding, too (`passed`).
EARLIER_NAMES = {
    "told": "description",
    "held": "within_limit",
    "limits_held": "within_limits",
    "heard": "share_with_audience",
    "kept": "retained",
    "left": "departed",
}


def report(home: Home, version: str) -> dict[str, Any] | None:
    """Return the report logged with a version as JSON values, or None if its run has none.

    Raises
    ------
    RegistryError : the registry cannot be reached or has no such version

    """
    with mlflow_session(home) as mlflow:
        uri = _artifact_uri(mlflow, version, REPORT)
        return _with_current_names(mlflow.artifacts.load_dict(uri)) if uri else None


def _with_current_names(value: Any) -> Any:
    """Rename the figures of an earlier report, at any depth."""
    if isinstance(value, list):
        return [_with_current_names(item) for item in value]
    if not isinstance(value, dict):
        return value
    names = EARLIER_NAMES | {"told": "message"} if "passed" in value else EARLIER_NAMES
    return {names.get(key, key): _with_current_names(item) for key, item in value.items()}


def card(home: Home, version: str | None = None) -> str:
    """Return the model card (Markdown) of a version, or of the champion.

    Raises
    ------
    RegistryError : the registry cannot be reached, or has no such version, no champion, or no card for it

    """
    return _text(home, CARD, version, CHAMPION)


def gate(home: Home, version: str | None = None) -> str:
    """Return the gate's report (Markdown) of a version, or of the challenger, which is the newest.

    Raises
    ------
    RegistryError : the registry cannot be reached, or has no such version, no version at all, or no report for it

    """
    return _text(home, GATE, version, CHALLENGER)


def gate_json(home: Home, version: str | None = None) -> dict[str, Any]:
    """Return the gate's verdict on a version, or on the challenger, with what it is based on; errors as in `gate`."""
    version = _resolve(home, version, CHALLENGER)
    return {"model_version": version, **_require(home, version)["gate"]}


def card_json(home: Home, version: str | None = None) -> dict[str, Any]:
    """Return the facts and the report of a version, or of the champion; errors as in `card`."""
    version = _resolve(home, version, CHAMPION)
    bundle = load_version(home, version, check_catalogue=False)
    facts = {name: fact for name, fact in bundle.facts.items() if name != "reference"}
    return {
        "model_version": version,
        "features": list(bundle.features),
        "facts": facts,
        "report": report(home, version),
    }


def _require(home: Home, version: str) -> dict[str, Any]:
    document = report(home, version)
    if document is None or "gate" not in document:
        raise _absent_error(version, f"{REPORT} with a gate")
    return document


def _resolve(home: Home, version: str | None, alias: str) -> str:
    """Return a version after checking that it exists, by default the one that an alias points to."""
    if version is not None:
        tags_of(home, version)
        return version
    if is_new(home):
        raise missing_alias_error(home, alias)
    with mlflow_session(home) as mlflow:
        version = version_of_alias(mlflow.MlflowClient(), alias)
    if version is None:
        raise missing_alias_error(home, alias)
    return version


def _absent_error(version: str, document: str) -> RegistryError:
    return RegistryError(
        f"version {version} of the model {MODEL!r} has no {document}: it was registered without one. "
        "Ask for another with --version, or train again with 'clout train EVENTS'."
    )


def _text(home: Home, file: str, version: str | None, alias: str) -> str:
    """Return a text logged with a version, by default the one that an alias points to."""
    version = _resolve(home, version, alias)
    with mlflow_session(home) as mlflow:
        uri = _artifact_uri(mlflow, version, file)
        if uri is None:
            local_model(mlflow, version)
            raise _absent_error(version, file)
        return str(mlflow.artifacts.load_text(uri))


def _artifact_uri(mlflow: Any, version: str, file: str) -> str | None:
    """Return the URI of a file in the run of a version, or None if the run does not have it."""
    run = mlflow.MlflowClient().get_model_version(MODEL, version).run_id
    artifacts = mlflow.artifacts.list_artifacts(run_id=run) if run else []
    return f"runs:/{run}/{file}" if file in [artifact.path for artifact in artifacts] else None
