"""Documents: what was logged with a version, read again."""

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
    tags_of,
    version_of_alias,
)


def report(home: Home, version: str) -> dict | None:
    """Return the report logged with a version, or None where its run holds none.

    Raises
    ------
    RegistryError : the registry cannot be reached or holds no such version

    """
    with mlflow_session(home) as mlflow:
        found = _logged(mlflow, version, REPORT)
        return mlflow.artifacts.load_dict(found) if found else None


def card(home: Home, version: str | None = None) -> str:
    """Return the model card (Markdown) of a version, or of the champion.

    Raises
    ------
    RegistryError : the registry cannot be reached, or holds no such version, no champion, or no card with it

    """
    return _text(home, CARD, version, CHAMPION)


def gate(home: Home, version: str | None = None) -> str:
    """Return the gate's report (Markdown) of a version, or of the challenger, which is the newest.

    Raises
    ------
    RegistryError : the registry cannot be reached, or holds no such version, none at all, or no report with it

    """
    return _text(home, GATE, version, CHALLENGER)


def _text(home: Home, file: str, version: str | None, alias: str) -> str:
    """Return a text that was logged with a version, or with the one that an alias points to."""
    if version is not None:
        tags_of(home, version)
    elif is_new(home):
        raise missing_alias_error(home, alias)
    with mlflow_session(home) as mlflow:
        version = version or version_of_alias(mlflow.MlflowClient(), alias)
        if version is None:
            raise missing_alias_error(home, alias)
        found = _logged(mlflow, version, file)
        if found is None:
            raise RegistryError(
                f"version {version} of the model {MODEL!r} has no {file}: it was registered without one. "
                "Ask for another with --version, or train again with 'clout train EVENTS'."
            )
        return mlflow.artifacts.load_text(found)


def _logged(mlflow: Any, version: str, file: str) -> str | None:
    """Return the address of a file in the run of a version, or None where the run holds none."""
    run = mlflow.MlflowClient().get_model_version(MODEL, version).run_id
    held = mlflow.artifacts.list_artifacts(run_id=run) if run else []
    return f"runs:/{run}/{file}" if file in [artifact.path for artifact in held] else None
