"""MLflow set to a home's registry, embedded or a server; its errors are raised as RegistryError."""

import logging
import os
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from features.errors import RegistryError, first_line, storage_error
from training.home import Home
from training.registry.embedded_store import EXPERIMENT, prepare_store

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool",  # a pooled connection keeps reading a store that was replaced
    "MLFLOW_RECORD_ENV_VARS_IN_MODEL_LOGGING": "false",
}


@contextmanager
def mlflow_session(home: Home) -> Iterator[Any]:
    """Yield MLflow set to this home's registry; errors inside are raised as RegistryError.

    An embedded registry is created if it is missing, and follows its home if that was moved.
    """
    with _restored_environment("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"), _quiet_mlflow(home) as mlflow:
        if home.tracking_uri is None:
            prepare_store(mlflow, home)
        mlflow.set_tracking_uri(home.registry_uri)
        mlflow.set_registry_uri(home.registry_uri)
        yield mlflow


@contextmanager
def mlflow_client(home: Home) -> Iterator[Any]:
    """Yield a client of this home's registry without setting process-wide state, so that threads may use it.

    Errors inside are raised as RegistryError.
    """
    with _quiet_mlflow(home) as mlflow:
        yield mlflow.MlflowClient(tracking_uri=home.registry_uri, registry_uri=home.registry_uri)


@contextmanager
def _quiet_mlflow(home: Home) -> Iterator[Any]:
    """Yield MLflow without its logs and warnings; its errors are raised as RegistryError."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow
        from alembic.util.exc import CommandError
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # errors are raised, and not logged with a traceback
        try:
            yield mlflow
        except (MlflowException, SQLAlchemyError, CommandError, sqlite3.Error, OSError) as error:
            raise unreachable_error(home, error) from error


def unreachable_error(home: Home, error: Exception) -> RegistryError:
    """Return the error of a registry that does not answer as expected."""
    if home.tracking_uri is None and (refusal := storage_error(error)):
        return RegistryError(f"the registry at {home.registry_uri} cannot be used: {refusal}")
    return RegistryError(
        f"the registry at {home.registry_uri} did not answer as expected: {first_line(error).rstrip('.')}. "
        "Check that it runs, and CLOUT_HOME and MLFLOW_TRACKING_URI."
    )


@contextmanager
def _restored_environment(*names: str) -> Iterator[None]:
    """Restore environment variables at the end: MLflow sets them, and they must not affect the next home."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def experiment_id(mlflow: Any) -> str:
    """Return the id of the experiment `clout`; on a server, create it if it is missing."""
    from mlflow.exceptions import MlflowException

    experiment = mlflow.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        with suppress(MlflowException):  # another process may have created it meanwhile
            return str(mlflow.create_experiment(EXPERIMENT))
        experiment = mlflow.get_experiment_by_name(EXPERIMENT)
    return str(experiment.experiment_id)


def is_new(home: Home) -> bool:
    """Return whether the embedded store does not exist yet; a request to MLflow would create it."""
    return home.tracking_uri is None and not home.store.exists()
