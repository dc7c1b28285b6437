"""The model registry: versions of the model `clout`, their aliases, and the run of each."""

import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote, urlsplit

from features.errors import RegistryError, first_line
from training.home import Home
from training.model.bundle import PREDICTED, Bundle, Champion
from training.model.bundle_files import load_bundle, read_bundle, save_bundle
from training.registry.embedded_store import champion_in_store
from training.registry.mlflow_session import experiment_id, is_new, mlflow_client, mlflow_session, unreachable_error

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
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    report: Mapping[str, Any],
    figures: Mapping[str, Any],
    texts: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> str:
    """Log a run and register its bundle as the next version of `clout`, with the alias `challenger`.

    Parameters
    ----------
    home : where the registry is
    bundle : the model
    params, metrics : logged as MLflow parameters and metrics
    report : JSON values, logged as `report.json`
    figures : file name -> matplotlib figure, logged under `plots/`
    texts : file name -> Markdown, logged as files; the version's description is as many sections of `card.md` as fit
    tags : of the version

    Returns
    -------
    the version, such as "3"

    Raises
    ------
    RegistryError : the registry cannot be reached or rejects a request

    """
    texts, tags = dict(texts or {}), dict(tags or {})
    with mlflow_session(home) as mlflow, TemporaryDirectory() as folder:
        mlflow.set_experiment(experiment_id=experiment_id(mlflow))
        with mlflow.start_run(run_name=f"clout {bundle.facts['as_of'][:10]}"):
            _log_source(mlflow, bundle)
            mlflow.log_params(dict(params))
            mlflow.log_metrics(dict(metrics))
            mlflow.log_dict(dict(report), REPORT)
            for name, text in texts.items():
                mlflow.log_text(text, name)
            for name, figure in figures.items():
                mlflow.log_figure(figure, f"plots/{name}.png")
            logged = _log_model(mlflow, bundle, Path(folder) / "bundle")
        client = mlflow.MlflowClient()
        _create_model(client)
        description = _description(texts[CARD]) if CARD in texts else None
        created = client.create_model_version(
            MODEL, logged.model_uri, logged.run_id, tags, description=description, model_id=logged.model_id
        )
        client.set_registered_model_alias(MODEL, CHALLENGER, created.version)
        return str(created.version)


def _log_model(mlflow: Any, bundle: Bundle, folder: Path) -> Any:
    """Save a bundle in a folder, log it as the model of the present run, and return MLflow's description of it."""
    from importlib.metadata import version

    save_bundle(bundle, folder)
    return mlflow.pyfunc.log_model(
        name="model",
        loader_module="training.served_model",
        data_path=str(folder),
        signature=_signature(bundle),
        pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
    )


def _log_source(mlflow: Any, bundle: Bundle) -> None:
    """Log the events that a model was trained on as a dataset of the run, and the commit as MLflow's own tag."""
    from mlflow.data import meta_dataset
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT

    if commit := bundle.facts.get("source", {}).get("commit"):
        mlflow.set_tag(MLFLOW_GIT_COMMIT, commit)
    if events := bundle.facts.get("events"):
        untyped: Any = meta_dataset  # its annotations call the class abstract
        dataset = untyped.MetaDataset(CodeDatasetSource({}), name="events", digest=events["digest"])
        tags = {key: str(events[key]) for key in ("events", "first", "last")}
        mlflow.log_input(dataset, context="training", tags=tags)


def log_monitor(home: Home, version: str, report: Mapping[str, Any], metrics: Mapping[str, float]) -> str:
    """Log a monitoring report of a version as a run of its own and return the run's id.

    Parameters
    ----------
    home : where the registry is
    version : the monitored version, logged as the run's tag `model_version`
    report : JSON values, logged as `monitor.json`; its `as_of` names the run, its `within_limits` is a tag
    metrics : logged as MLflow metrics

    Raises
    ------
    RegistryError : the registry cannot be reached or rejects a request

    """
    tags = {"model_version": version, "within_limits": str(report["within_limits"]).lower()}
    with mlflow_session(home) as mlflow:
        mlflow.set_experiment(experiment_id=experiment_id(mlflow))
        with mlflow.start_run(run_name=f"monitor {report['as_of'][:10]}", tags=tags) as run:
            mlflow.log_metrics(dict(metrics))
            mlflow.log_dict(dict(report), MONITOR_REPORT)
        return str(run.info.run_id)


def promote(home: Home, version: str, forced: str | None = None) -> str | None:
    """Point the alias `champion` to a version and return the previous champion's version, or None.

    The version gets the tag `promoted`, with the time and the previous version, and if its gate was overridden the tag
    `forced`, with the reason.
    """
    with mlflow_session(home) as mlflow:
        client = mlflow.MlflowClient()
        before = version_of_alias(client, CHAMPION)
        client.set_registered_model_alias(MODEL, CHAMPION, version)
        promoted = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, from {f'version {before}' if before else 'no champion'}"
        client.set_model_version_tag(MODEL, version, PROMOTED_TAG, promoted)
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
        rows = mlflow.MlflowClient().search_model_versions(f"name = '{MODEL}'")
        return {str(row.version): dict(row.tags) for row in sorted(rows, key=lambda row: int(row.version))}


def tags_of(home: Home, version: str) -> dict[str, str]:
    """Return the tags of a version.

    Raises
    ------
    RegistryError : the registry cannot be reached, or has no such version (the message lists the existing ones)

    """
    tags = versions(home)
    if version not in tags:
        existing = f"there are {', '.join(tags)}" if tags else "there are none yet"
        raise RegistryError(f"the registry at {home.registry_uri} has no version {version} of the model; {existing}.")
    return tags[version]


def champion_version(home: Home) -> str | None:
    """Return the champion's version without downloading it, or None if no version was promoted yet.

    Raises
    ------
    RegistryError : the registry cannot be reached

    """
    if home.tracking_uri is not None:
        with mlflow_client(home) as client:
            return version_of_alias(client, CHAMPION)
    if is_new(home):
        return None
    try:
        return champion_in_store(home, MODEL, CHAMPION)
    except sqlite3.Error as error:
        raise unreachable_error(home, error) from error


def find_champion(home: Home, check_catalogue: bool = True) -> Champion | None:
    """Return the champion and its version, or None if no version was promoted yet.

    Parameters
    ----------
    home : where the registry is
    check_catalogue : whether to refuse a model of another catalogue than the installed one

    Raises
    ------
    RegistryError : the registry cannot be reached
    CatalogueError : the champion was trained on another catalogue

    """
    if is_new(home):
        return None
    with mlflow_session(home) as mlflow:
        version = version_of_alias(mlflow.MlflowClient(), CHAMPION)
        folder = _download(mlflow, version) if version else None
    return Champion(_read(folder, check_catalogue), version) if folder and version else None


def load_champion(home: Home) -> Champion:
    """Return the champion and its version.

    Raises
    ------
    RegistryError : no version was promoted yet, or the registry cannot be reached
    CatalogueError : the champion was trained on another catalogue

    """
    champion = find_champion(home)
    if champion is None:
        raise missing_alias_error(home, CHAMPION)
    return champion


def load_model(home: Home, version: str | None = None) -> tuple[Bundle, str, bool]:
    """Return the champion, or a version: the bundle, the version, and whether it is or was the champion.

    Raises
    ------
    RegistryError : no version was promoted yet, there is no such version, or the registry cannot be reached
    CatalogueError : it was trained on another catalogue

    """
    if version is None:
        return *load_champion(home), True
    released = PROMOTED_TAG in tags_of(home, version) or version == champion_version(home)
    return load_version(home, version), version, released


def load_version(home: Home, version: str, check_catalogue: bool = True) -> Bundle:
    """Return the bundle of a version.

    Parameters
    ----------
    home, version : where the registry is, and the version's number
    check_catalogue : whether to refuse a model of another catalogue than the installed one

    Raises
    ------
    RegistryError : the registry cannot be reached or has no such version
    CatalogueError : the version was trained on another catalogue

    """
    with mlflow_session(home) as mlflow:
        folder = _download(mlflow, version)
    return _read(folder, check_catalogue)


def require_writable(home: Home) -> None:
    """Check the experiment, write a small artifact and remove it, before a training whose model would be lost.

    Raises
    ------
    RegistryError : the registry cannot be reached, or its artifacts cannot be written

    """
    with mlflow_session(home) as mlflow, TemporaryDirectory(prefix="clout-probe-") as folder:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        root = mlflow.set_experiment(experiment_id=experiment_id(mlflow)).artifact_location  # refuses a deleted one
        probe = Path(folder) / "probe.txt"
        probe.write_text("clout tests whether it can write here\n")
        try:
            artifacts: Any = get_artifact_repository(root)
            artifacts.log_artifact(str(probe), probe.parent.name)
        except Exception as error:  # each kind of storage has its own errors
            raise RegistryError(
                f"models cannot be stored at {root}: {first_line(error)}. Nothing was trained: make it writable, or "
                "set CLOUT_HOME or MLFLOW_TRACKING_URI to a registry whose artifacts can be written."
            ) from error
        with suppress(Exception):  # not every storage deletes
            artifacts.delete_artifacts(probe.parent.name)


def _create_model(client: Any) -> None:
    from mlflow.exceptions import MlflowException

    if not client.search_registered_models(f"name = '{MODEL}'"):
        with suppress(MlflowException):  # another process may have created it meanwhile
            client.create_registered_model(MODEL)


def _read(folder: Path, check_catalogue: bool) -> Bundle:
    return load_bundle(folder) if check_catalogue else read_bundle(folder)


def local_model(mlflow: Any, version: str) -> Path | None:
    """Return the local folder in which a version's model is recorded; None for other storage.

    Raises
    ------
    RegistryError : it does not exist: only a part of a home was copied or restored

    """
    address = urlsplit(mlflow.MlflowClient().get_model_version_download_uri(MODEL, version))
    if address.scheme not in ("", "file"):
        return None
    folder = Path(unquote(address.path))
    if not folder.is_dir():
        raise RegistryError(
            f"the model of version {version} is missing: expected it in {folder}. A home is its whole folder: copy "
            "mlartifacts from the original or from a backup, beside mlflow.db."
        )
    return folder


def _download(mlflow: Any, version: str) -> Path:
    """Return the folder of a version's bundle; a local one is read in place, where MLflow would write a file."""
    folder = local_model(mlflow, version)
    if folder is None:
        folder = Path(mlflow.artifacts.download_artifacts(f"models:/{MODEL}/{version}"))
    return folder / "data" / "bundle"


def missing_alias_error(home: Home, alias: str) -> RegistryError:
    """Return the error of a registry in which an alias does not point to a version."""
    return RegistryError(
        f"the registry at {home.registry_uri} holds no {alias} of the model {MODEL!r}. "
        "Train one with 'clout train EVENTS', promote a version with 'clout promote VERSION', or set CLOUT_HOME or "
        "MLFLOW_TRACKING_URI to a registry that has one."
    )


def _description(card: str) -> str:
    """Return a card, cut after the last section that fits and followed by where the rest is if it is too long."""
    if len(card) <= LONGEST_DESCRIPTION:
        return card
    pointer = f"\n\nThe rest is in `{CARD}` of the run; `clout card` prints it.\n"
    room = card[: LONGEST_DESCRIPTION - len(pointer)]
    return room.rpartition("\n## ")[0].rstrip() + pointer


def version_of_alias(client: Any, alias: str) -> str | None:
    """Return the version that an alias points to, or None."""
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

    inputs = Schema([ColSpec("double", name, required=False) for name in bundle.features])
    return ModelSignature(inputs=inputs, outputs=Schema([ColSpec("double", name) for name in PREDICTED]))
