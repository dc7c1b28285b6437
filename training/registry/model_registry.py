"""The registry: the versions of the model `clout`, their aliases, and what is logged with them."""

from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from features.errors import RegistryError
from training.home import Home
from training.model.bundle import PREDICTED, Bundle
from training.model.bundle_files import load_bundle, read_bundle, save_bundle
from training.registry.mlflow_session import asked, experiment, is_new, mlflow_session

MODEL = "clout"
CHAMPION = "champion"
CHALLENGER = "challenger"
REPORT = "report.json"
CARD = "card.md"
GATE = "gate.md"
GATE_TAG, FORCED_TAG, PROMOTED_TAG = "gate", "forced", "promoted"
PASSED, FAILED = "passed", "failed"
LONGEST_DESCRIPTION = 5_000
MONITOR_REPORT = "monitor.json"
REQUIREMENTS = ("clout-score", "lightgbm", "pandas", "ibis-framework")


def register(
    home: Home,
    bundle: Bundle,
    params: dict,
    metrics: dict,
    report: dict,
    figures: dict,
    texts: dict[str, str] | None = None,
    tags: dict[str, str] | None = None,
) -> str:
    """Log a run and register its bundle as the next version of `clout`, with the alias `challenger`.

    Parameters
    ----------
    home : where the registry is
    bundle : the model
    params, metrics : flat dictionaries, logged as MLflow parameters and metrics
    report : logged whole as `report.json`
    figures : file name -> matplotlib figure, logged under `plots/`
    texts : file name -> Markdown, logged as such; as many sections of `card.md` as MLflow takes describe the version
    tags : of the version

    Returns
    -------
    the version, such as "3"

    Raises
    ------
    RegistryError : the registry cannot be reached or refuses

    """
    texts = texts or {}
    with mlflow_session(home) as mlflow, TemporaryDirectory() as folder:
        save_bundle(bundle, Path(folder) / "bundle")
        mlflow.set_experiment(experiment_id=experiment(mlflow, home))
        with mlflow.start_run(run_name=f"clout {bundle.facts['as_of'][:10]}"):
            mlflow.log_params(params)
            mlflow.log_metrics(metrics)
            mlflow.log_dict(report, REPORT)
            for name, text in texts.items():
                mlflow.log_text(text, name)
            for name, figure in figures.items():
                mlflow.log_figure(figure, f"plots/{name}.png")
            logged = mlflow.pyfunc.log_model(
                name="model",
                loader_module="training.model.pyfunc",
                data_path=str(Path(folder) / "bundle"),
                signature=_signature(bundle),
                pip_requirements=[f"{name}=={installed(name)}" for name in REQUIREMENTS],
            )
        client = mlflow.MlflowClient()
        if not client.search_registered_models(f"name = '{MODEL}'"):
            client.create_registered_model(MODEL)
        made = client.create_model_version(
            MODEL,
            logged.model_uri,
            logged.run_id,
            tags=tags,
            description=_description(texts[CARD]) if CARD in texts else None,
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
    with mlflow_session(home) as mlflow:
        mlflow.set_experiment(experiment_id=experiment(mlflow, home))
        with mlflow.start_run(run_name=f"monitor {report['as_of'][:10]}", tags=tags) as run:
            mlflow.log_metrics(metrics)
            mlflow.log_dict(report, MONITOR_REPORT)
        return str(run.info.run_id)


def promote(home: Home, version: str, forced: str | None = None) -> str | None:
    """Point the alias `champion` to a version and return the version that was champion before, None if none was.

    The version is tagged with when and from which version (`promoted`), and with the reason where its gate was
    overruled (`forced`).
    """
    with mlflow_session(home) as mlflow:
        client = mlflow.MlflowClient()
        before = version_of_alias(client, CHAMPION)
        client.set_registered_model_alias(MODEL, CHAMPION, version)
        told = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, from {f'version {before}' if before else 'no champion'}"
        client.set_model_version_tag(MODEL, version, PROMOTED_TAG, told)
        if forced is not None:
            client.set_model_version_tag(MODEL, version, FORCED_TAG, forced)
        return before


def versions(home: Home) -> dict[str, dict[str, str]]:
    """Return the tags of every version of the model, oldest version first.

    Raises
    ------
    RegistryError : the registry cannot be reached

    """
    if is_new(home):
        return {}
    with mlflow_session(home) as mlflow:
        found = mlflow.MlflowClient().search_model_versions(f"name = '{MODEL}'")
        return {str(each.version): dict(each.tags) for each in sorted(found, key=lambda each: int(each.version))}


def tags_of(home: Home, version: str) -> dict[str, str]:
    """Return the tags of a version.

    Raises
    ------
    RegistryError : the registry cannot be reached, or has no such version (says which there are)

    """
    held = versions(home)
    if version not in held:
        there = f"there are {', '.join(held)}" if held else "there are none yet"
        raise RegistryError(f"the registry at {home.registry_uri} has no version {version} of the model; {there}.")
    return held[version]


def champion(home: Home) -> tuple[Bundle, str] | None:
    """Return the champion and its version, or None where nothing was promoted yet.

    Raises
    ------
    RegistryError : the registry cannot be reached
    CatalogueError : the champion was trained on another catalogue

    """
    found = _champion_folder(home)
    return (load_bundle(found[0]), found[1]) if found else None


def champion_version(home: Home) -> str | None:
    """Return the champion's version without fetching it, or None where nothing was promoted yet.

    Raises
    ------
    RegistryError : the registry cannot be reached

    """
    if is_new(home):
        return None
    with asked(home) as client:
        return version_of_alias(client, CHAMPION)


def load_champion_unchecked(home: Home) -> tuple[Bundle, str] | None:
    """Return the champion and its version, even if it was trained on another catalogue; None if there is none.

    Raises
    ------
    RegistryError : the registry cannot be reached

    """
    found = _champion_folder(home)
    return (read_bundle(found[0]), found[1]) if found else None


def load_version(home: Home, version: str) -> Bundle:
    """Return the bundle of a version.

    Raises
    ------
    RegistryError : the registry cannot be reached or holds no such version
    CatalogueError : it was trained on another catalogue

    """
    with mlflow_session(home) as mlflow:
        folder = _downloaded(mlflow, version)
    return load_bundle(folder)


def load_version_unchecked(home: Home, version: str) -> Bundle:
    """Return the bundle of a version, even of another catalogue; errors as in `load_champion_unchecked`."""
    with mlflow_session(home) as mlflow:
        return read_bundle(_downloaded(mlflow, version))


def _champion_folder(home: Home) -> tuple[Path, str] | None:
    """Fetch the champion's bundle; return its folder and version."""
    if is_new(home):
        return None
    with mlflow_session(home) as mlflow:
        found = version_of_alias(mlflow.MlflowClient(), CHAMPION)
        return (_downloaded(mlflow, found), found) if found else None


def _downloaded(mlflow: Any, version: str) -> Path:
    return Path(mlflow.artifacts.download_artifacts(f"models:/{MODEL}/{version}")) / "data" / "bundle"


def load_champion(home: Home) -> tuple[Bundle, str]:
    """Return the champion and its version.

    Raises
    ------
    RegistryError : there is none, or the registry cannot be reached

    """
    found = champion(home)
    if found is None:
        raise missing_alias_error(home, CHAMPION)
    return found


def missing_alias_error(home: Home, alias: str) -> RegistryError:
    """Return the error of a home where an alias points to no version."""
    return RegistryError(
        f"the registry at {home.registry_uri} holds no {alias} of the model {MODEL!r}. "
        "Train one with 'clout train EVENTS', promote a version with 'clout promote VERSION', or set CLOUT_HOME or "
        "MLFLOW_TRACKING_URI to where one is."
    )


def _description(card: str) -> str:
    """Return a card whole, or as many of its sections as fit, which ends by saying where the rest is."""
    if len(card) <= LONGEST_DESCRIPTION:
        return card
    pointer = f"\n\nThe rest is in `{CARD}` of the run; `clout card` prints it.\n"
    room = card[: LONGEST_DESCRIPTION - len(pointer)]
    return room.rpartition("\n## ")[0].rstrip() + pointer


def version_of_alias(client: Any, alias: str) -> str | None:
    """Return the version that an alias points to, None where it points to none."""
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_model_version_by_alias(MODEL, alias).version)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _signature(bundle: Bundle) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    given = Schema([ColSpec("double", name, required=False) for name in bundle.features])
    return ModelSignature(inputs=given, outputs=Schema([ColSpec("double", name) for name in PREDICTED]))
