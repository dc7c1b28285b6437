"""The embedded MLflow store of a home: one process creates it whole, and it follows the home's folder when that moves.

MLflow records absolute addresses of artifacts. `prepare_store` compares them with the home and updates them.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from features.atomic_files import publish, scratch_dir
from training.home import Home

EXPERIMENT = "clout"
LOCK = ".mlflow.lock"
LOCK_SECONDS = 120
ADDRESSES = {
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
    "model_versions": "storage_location",
}


def prepare_store(mlflow: Any, home: Home) -> None:
    """Create the store with the experiment `clout` if it is missing, and update its addresses if the home was moved.

    Processes that do so at once wait for each other.

    Raises
    ------
    OutputError, OSError : the home cannot be written to
    sqlite3.Error : the store is damaged

    """
    if _artifact_root(home) == artifact_root(home):
        return
    from filelock import FileLock

    home.folder.mkdir(parents=True, exist_ok=True)
    with FileLock(home.folder / LOCK, timeout=LOCK_SECONDS):
        if not home.store.exists():
            _create(mlflow, home)
        recorded = _artifact_root(home)
        if recorded is None:
            _client(mlflow, home.store).create_experiment(EXPERIMENT, artifact_location=artifact_root(home))
        elif _is_moved(recorded, home):
            _update_addresses(home, recorded)


def artifact_root(home: Home) -> str:
    """Return the address of the home's artifacts, as MLflow records it."""
    return home.artifacts.resolve().as_uri()


def champion_in_store(home: Home, model: str, alias: str) -> str | None:
    """Return the version of a model's alias without importing MLflow, or None if the alias points to none.

    Raises
    ------
    sqlite3.Error : the store is damaged

    """
    query = "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?"
    return _first(home, query, (model, alias))


def _artifact_root(home: Home) -> str | None:
    """Return the recorded address of the artifacts, or None if there is no store or no experiment yet."""
    if not home.store.exists():
        return None
    return _first(home, "SELECT artifact_location FROM experiments WHERE name = ?", (EXPERIMENT,))


def _first(home: Home, query: str, values: tuple[str, ...]) -> str | None:
    """Return the first value of a query as text; None without rows, or if MLflow has not created the table yet."""
    with closing(sqlite3.connect(f"{home.store.resolve().as_uri()}?mode=ro", uri=True, timeout=20)) as connection:
        try:
            row = connection.execute(query, values).fetchone()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return None
            raise
    return None if row is None else str(row[0])


def _create(mlflow: Any, home: Home) -> None:
    """Create the store aside and move it into place, so that a process that is killed leaves none that is partial."""
    with scratch_dir(home.store) as scratch:
        store = scratch / home.store.name
        _client(mlflow, store).create_experiment(EXPERIMENT, artifact_location=artifact_root(home))
        publish(store, home.store, scratch)


def _client(mlflow: Any, store: Path) -> Any:
    uri = f"sqlite:///{store.resolve()}"
    return mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)


def _is_moved(recorded: str, home: Home) -> bool:
    """Return whether the artifacts are in the home, or at least not at the recorded address on this machine."""
    parts = urlsplit(recorded)
    if parts.scheme not in ("", "file") or recorded == artifact_root(home):
        return False
    return home.artifacts.is_dir() or not Path(unquote(parts.path)).is_dir()


def _update_addresses(home: Home, recorded: str) -> None:
    """Replace the recorded address of the artifacts by that in the home, in one transaction."""
    prefix = f"{recorded.rstrip('/')}/"
    with closing(sqlite3.connect(home.store, timeout=20)) as connection, connection:
        for table, column in ADDRESSES.items():
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column} || '/', 1, ?) = ?",
                (artifact_root(home), len(prefix), len(prefix), prefix),
            )
