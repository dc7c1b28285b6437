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
    missing_alias_error,
    require_artifacts,
    tags_of,
    version_of_alias,
)


def report(home: Home, version: str) -> dict[str, Any] | None:
    """Return the report logged with a version as JSON values, or None if its run has none.

    Raises
    ------
    RegistryError : the registry cannot be reached or has no such version

    """
    with mlflow_session(home) as mlflow:
        uri = _artifact_uri(mlflow, version, REPORT)
        return mlflow.artifacts.load_dict(uri) if uri else None


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


def _text(home: Home, file: str, version: str | None, alias: str) -> str:
    """Return a text logged with a version, by default the one that an alias points to."""
    if version is not None:
        tags_of(home, version)
    elif is_new(home):
        raise missing_alias_error(home, alias)
    with mlflow_session(home) as mlflow:
        version = version or version_of_alias(mlflow.MlflowClient(), alias)
        if version is None:
            raise missing_alias_error(home, alias)
        uri = _artifact_uri(mlflow, version, file)
        if uri is None:
            require_artifacts(mlflow, version)
            raise RegistryError(
                f"version {version} of the model {MODEL!r} has no {file}: it was registered without one. "
                "Ask for another with --version, or train again with 'clout train EVENTS'."
            )
        return str(mlflow.artifacts.load_text(uri))


def _artifact_uri(mlflow: Any, version: str, file: str) -> str | None:
    """Return the URI of a file in the run of a version, or None if the run does not have it."""
    run = mlflow.MlflowClient().get_model_version(MODEL, version).run_id
    artifacts = mlflow.artifacts.list_artifacts(run_id=run) if run else []
    return f"runs:/{run}/{file}" if file in [artifact.path for artifact in artifacts] else None
