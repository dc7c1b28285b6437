"""Tracking: MLflow as this home has it, embedded or a server, with its errors made ours."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from features.errors import RegistryError
from training.home import Home

EXPERIMENT = "clout"
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool",  # a pooled connection goes on reading a store that was replaced
    "MLFLOW_RECORD_ENV_VARS_IN_MODEL_LOGGING": "false",
}


@contextmanager
def mlflow_session(home: Home) -> Iterator[Any]:
    """Yield MLflow set to this home's registry; what goes wrong inside comes out as RegistryError."""
    with _kept("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"), _answering(home) as mlflow:
        mlflow.set_tracking_uri(home.registry_uri)
        mlflow.set_registry_uri(home.registry_uri)
        yield mlflow


@contextmanager
def asked(home: Home) -> Iterator[Any]:
    """Yield a client of this home's registry, for a look from a thread: nothing of the process is set.

    What goes wrong inside comes out as RegistryError.
    """
    with _answering(home) as mlflow:
        yield mlflow.MlflowClient(tracking_uri=home.registry_uri, registry_uri=home.registry_uri)


@contextmanager
def _answering(home: Home) -> Iterator[Any]:
    """Yield MLflow, made quiet; its errors come out as RegistryError."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield mlflow
        except (MlflowException, SQLAlchemyError, OSError) as error:
            told = next(iter(str(error).splitlines()), type(error).__name__)
            raise RegistryError(
                f"the registry at {home.registry_uri} did not answer as expected: {told}. "
                "Check that it runs, and CLOUT_HOME and MLFLOW_TRACKING_URI."
            ) from error


@contextmanager
def _kept(*names: str) -> Iterator[None]:
    """Put environment variables back at the end: MLflow sets them, and the next home must not be read from them."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def experiment(mlflow: Any, home: Home) -> str:
    """Return the id of the experiment `clout`, which is made if it is not there."""
    found = mlflow.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return found.experiment_id
    place = None if home.tracking_uri else home.artifacts.resolve().as_uri()
    return mlflow.create_experiment(EXPERIMENT, artifact_location=place)


def is_new(home: Home) -> bool:
    """Tell whether the embedded store is still to be made; asking MLflow would make it."""
    return home.tracking_uri is None and not home.store.exists()
