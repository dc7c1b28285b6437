"""The registry: the versions of the model `clout`, their aliases, and what is logged with them."""

from importlib.metadata import version as installed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from features.catalogue import CATALOGUE
from features.errors import RegistryError
from training.bundle import PREDICTED, Bundle, load_bundle, read_bundle
from training.home import Home
from training.scale import Scale
from training.tracking import connected, experiment, is_new

MODEL = "clout"
CHAMPION = "champion"
CHALLENGER = "challenger"
REPORT = "report.json"
CARD = "card.md"
LONGEST_DESCRIPTION = 5_000
MONITOR_REPORT = "monitor.json"
REQUIREMENTS = ("clout-score", "lightgbm", "pandas", "ibis-framework")


def register(
    home: Home, bundle: Bundle, params: dict, metrics: dict, report: dict, figures: dict, card: str | None = None
) -> str:
    """Log a run and register its bundle as the next version of `clout`, with the alias `challenger`.

    Parameters
    ----------
    home : where the registry is
    bundle : the model
    params, metrics : flat dictionaries, logged as MLflow parameters and metrics
    report : logged whole as `report.json`
    figures : file name -> matplotlib figure, logged under `plots/`
    card : Markdown, logged as `card.md`; as many of its sections as MLflow takes describe the version

    Returns
    -------
    the version, such as "3"

    Raises
    ------
    RegistryError : the registry cannot be reached or refuses

    """
    with connected(home) as mlflow, TemporaryDirectory() as folder:
        bundle.save(Path(folder) / "bundle")
        mlflow.set_experiment(experiment_id=experiment(mlflow, home))
        with mlflow.start_run(run_name=f"clout {bundle.facts['as_of'][:10]}"):
            mlflow.log_params(params)
            mlflow.log_metrics(metrics)
            mlflow.log_dict(report, REPORT)
            if card is not None:
                mlflow.log_text(card, CARD)
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
        made = client.create_model_version(
            MODEL,
            logged.model_uri,
            logged.run_id,
            description=None if card is None else _description(card),
            model_id=logged.model_id,
        )
        client.set_registered_model_alias(MODEL, CHALLENGER, made.version)
        return str(made.version)


def log_monitor(home: Home, version: str, report: dict, metrics: dict) -> str:
    """Log a monitoring report of a version as a run of its own and return the run's id.

    Parameters
    ----------
    home : where the registry is
    version : the version that was watched; the run is tagged with it as `model_version`
    report : logged whole as `monitor.json`; its `as_of` names the run, its `held` is a tag
    metrics : a flat dictionary, logged as MLflow metrics

    Raises
    ------
    RegistryError : the registry cannot be reached or refuses

    """
    tags = {"model_version": version, "held": str(report["held"]).lower()}
    with connected(home) as mlflow:
        mlflow.set_experiment(experiment_id=experiment(mlflow, home))
        with mlflow.start_run(run_name=f"monitor {report['as_of'][:10]}", tags=tags) as run:
            mlflow.log_metrics(metrics)
            mlflow.log_dict(report, MONITOR_REPORT)
        return str(run.info.run_id)


def promote(home: Home, version: str) -> None:
    """Point the alias `champion` to a version."""
    with connected(home) as mlflow:
        mlflow.MlflowClient().set_registered_model_alias(MODEL, CHAMPION, version)


def tag(home: Home, version: str, name: str, value: str) -> None:
    """Tag a version."""
    with connected(home) as mlflow:
        mlflow.MlflowClient().set_model_version_tag(MODEL, version, name, value)


def champion(home: Home) -> tuple[Bundle, str] | None:
    """Return the champion and its version, or None where nothing was promoted yet.

    Raises
    ------
    RegistryError : the registry cannot be reached
    CatalogueError : the champion was trained on another catalogue

    """
    found = _champion_folder(home)
    return (load_bundle(found[0]), found[1]) if found else None


def _champion_folder(home: Home) -> tuple[Path, str] | None:
    """Fetch the champion's bundle; return its folder and version."""
    if is_new(home):
        return None
    with connected(home) as mlflow:
        found = _aliased(mlflow.MlflowClient(), CHAMPION)
        if found is None:
            return None
        folder = mlflow.artifacts.download_artifacts(f"models:/{MODEL}/{found}")
        return Path(folder) / "data" / "bundle", found


def champion_scale(home: Home) -> tuple[Scale, int] | None:
    """Return the champion's scale and horizon in days, even if it was trained on another catalogue; None if none is.

    Raises
    ------
    RegistryError : the registry cannot be reached

    """
    found = _champion_folder(home)
    if found is None:
        return None
    held = read_bundle(found[0])
    return held.scale, held.horizon_days


def required_champion(home: Home) -> tuple[Bundle, str]:
    """Return the champion and its version.

    Raises
    ------
    RegistryError : there is none, or the registry cannot be reached

    """
    found = champion(home)
    if found is None:
        raise _no_champion(home)
    return found


def _no_champion(home: Home) -> RegistryError:
    return RegistryError(
        f"the registry at {home.registry_uri} holds no champion of the model {MODEL!r}. "
        "Train one with 'clout train EVENTS', or set CLOUT_HOME or MLFLOW_TRACKING_URI to where one is."
    )


def report(home: Home, version: str) -> dict | None:
    """Return the report logged with a version, or None where its run holds none.

    Raises
    ------
    RegistryError : the registry cannot be reached or holds no such version

    """
    with connected(home) as mlflow:
        found = _logged(mlflow, version, REPORT)
        return mlflow.artifacts.load_dict(found) if found else None


def card(home: Home, version: str | None = None) -> str:
    """Return the model card (Markdown) of a version, or of the champion.

    Raises
    ------
    RegistryError : the registry cannot be reached, or holds no such version, no champion, or no card with it

    """
    if is_new(home):
        raise _no_champion(home)
    with connected(home) as mlflow:
        version = version or _aliased(mlflow.MlflowClient(), CHAMPION)
        if version is None:
            raise _no_champion(home)
        found = _logged(mlflow, version, CARD)
        if found is None:
            raise RegistryError(
                f"version {version} of the model {MODEL!r} has no {CARD}: it was registered without one. "
                "Ask for another with --version, or train again with 'clout train EVENTS'."
            )
        return mlflow.artifacts.load_text(found)


def _logged(mlflow: Any, version: str, file: str) -> str | None:
    """Return the address of a file in the run of a version, or None where the run holds none."""
    run = mlflow.MlflowClient().get_model_version(MODEL, version).run_id
    held = mlflow.artifacts.list_artifacts(run_id=run) if run else []
    return f"runs:/{run}/{file}" if file in [artifact.path for artifact in held] else None


def _description(card: str) -> str:
    """Return a card whole, or as many of its sections as fit, which ends by saying where the rest is."""
    if len(card) <= LONGEST_DESCRIPTION:
        return card
    pointer = f"\n\nThe rest is in `{CARD}` of the run; `clout card` prints it.\n"
    room = card[: LONGEST_DESCRIPTION - len(pointer)]
    return room.rpartition("\n## ")[0].rstrip() + pointer


def _aliased(client: Any, alias: str) -> str | None:
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_model_version_by_alias(MODEL, alias).version)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    given = Schema([ColSpec("double", name, required=False) for name in CATALOGUE.names])
    return ModelSignature(inputs=given, outputs=Schema([ColSpec("double", name) for name in PREDICTED]))
