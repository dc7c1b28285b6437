"""The registry: MLflow runs with their figures, and the versions and aliases of the model `clout`."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version as installed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from features.catalogue import CATALOGUE
from features.errors import RegistryError
from training.bundle import PREDICTED, Bundle, load_bundle
from training.home import Home

MODEL = "clout"
EXPERIMENT = "clout"
CHAMPION = "champion"
CHALLENGER = "challenger"
REPORT = "report.json"
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_RECORD_ENV_VARS_IN_MODEL_LOGGING": "false",
}
REQUIREMENTS = ("clout-score", "lightgbm", "pandas", "ibis-framework")


@contextmanager
def _mlflow(home: Home) -> Iterator[Any]:
    """Yield MLflow set to this home's registry; what goes wrong inside comes out as RegistryError."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings(), _kept("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        warnings.simplefilter("ignore")
        import mlflow
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        mlflow.set_tracking_uri(home.registry_uri)
        mlflow.set_registry_uri(home.registry_uri)
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


def register(home: Home, bundle: Bundle, params: dict, metrics: dict, report: dict, figures: dict) -> str:
    """Log a run and register its bundle as the next version of `clout`, with the alias `challenger`.

    Parameters
    ----------
    home : where the registry is
    bundle : the model
    params, metrics : flat dictionaries, logged as MLflow parameters and metrics
    report : logged whole as `report.json`
    figures : file name -> matplotlib figure, logged under `plots/`

    Returns
    -------
    the version, such as "3"

    Raises
    ------
    RegistryError : the registry cannot be reached or refuses

    """
    with _mlflow(home) as mlflow, TemporaryDirectory() as folder:
        bundle.save(Path(folder) / "bundle")
        mlflow.set_experiment(experiment_id=_experiment(mlflow, home))
        with mlflow.start_run(run_name=f"clout {bundle.facts['as_of'][:10]}"):
            mlflow.log_params(params)
            mlflow.log_metrics(metrics)
            mlflow.log_dict(report, REPORT)
            for name, figure in figures.items():
                mlflow.log_figure(figure, f"plots/{name}.png")
            logged = mlflow.pyfunc.log_model(
                name="model",
                loader_module="training.served_model",
                data_path=str(Path(folder) / "bundle"),
                signature=_signature(),
                pip_requirements=[f"{name}=={installed(name)}" for name in REQUIREMENTS],
            )
        client = mlflow.MlflowClient()
        if not client.search_registered_models(f"name = '{MODEL}'"):
            client.create_registered_model(MODEL)
        made = client.create_model_version(MODEL, logged.model_uri, logged.run_id, model_id=logged.model_id)
        client.set_registered_model_alias(MODEL, CHALLENGER, made.version)
        return str(made.version)


def promote(home: Home, version: str) -> None:
    """Point the alias `champion` to a version."""
    with _mlflow(home) as mlflow:
        mlflow.MlflowClient().set_registered_model_alias(MODEL, CHAMPION, version)


def tag(home: Home, version: str, name: str, value: str) -> None:
    """Tag a version."""
    with _mlflow(home) as mlflow:
        mlflow.MlflowClient().set_model_version_tag(MODEL, version, name, value)


def champion(home: Home) -> tuple[Bundle, str] | None:
    """Return the champion and its version, or None where nothing was promoted yet.

    Raises
    ------
    RegistryError : the registry cannot be reached
    CatalogueError : the champion was trained on another catalogue

    """
    if home.tracking_uri is None and not home.store.exists():
        return None
    with _mlflow(home) as mlflow:
        found = _aliased(mlflow.MlflowClient(), CHAMPION)
        if found is None:
            return None
        folder = mlflow.artifacts.download_artifacts(f"models:/{MODEL}/{found}")
        return load_bundle(Path(folder) / "data" / "bundle"), found


def required_champion(home: Home) -> tuple[Bundle, str]:
    """Return the champion and its version.

    Raises
    ------
    RegistryError : there is none, or the registry cannot be reached

    """
    found = champion(home)
    if found is None:
        raise RegistryError(
            f"the registry at {home.registry_uri} holds no champion of the model {MODEL!r}. "
            "Train one with 'clout train EVENTS', or set CLOUT_HOME or MLFLOW_TRACKING_URI to where one is."
        )
    return found


def report(home: Home, version: str) -> dict | None:
    """Return the report logged with a version, or None where its run holds none.

    Raises
    ------
    RegistryError : the registry cannot be reached or holds no such version

    """
    with _mlflow(home) as mlflow:
        run = mlflow.MlflowClient().get_model_version(MODEL, version).run_id
        held = mlflow.artifacts.list_artifacts(run_id=run) if run else []
        if REPORT not in [artifact.path for artifact in held]:
            return None
        return mlflow.artifacts.load_dict(f"runs:/{run}/{REPORT}")


def _aliased(client: Any, alias: str) -> str | None:
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_model_version_by_alias(MODEL, alias).version)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _experiment(mlflow: Any, home: Home) -> str:
    found = mlflow.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return found.experiment_id
    place = None if home.tracking_uri else home.artifacts.resolve().as_uri()
    return mlflow.create_experiment(EXPERIMENT, artifact_location=place)


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    given = Schema([ColSpec("double", name, required=False) for name in CATALOGUE.names])
    return ModelSignature(inputs=given, outputs=Schema([ColSpec("double", name) for name in PREDICTED]))
