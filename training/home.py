"""Where things live: `CLOUT_HOME` holds events, snapshots and the MLflow store."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Home:
    """A folder and the places in it.

    Parameters
    ----------
    folder : made when something is first written
    tracking_uri : of a real MLflow server; None keeps runs and models in the folder

    """

    folder: Path
    tracking_uri: str | None = None

    @property
    def store(self) -> Path:
        """The SQLite file of the embedded MLflow store."""
        return self.folder / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        """Where the embedded MLflow store keeps models and plots."""
        return self.folder / "mlartifacts"

    @property
    def snapshots(self) -> Path:
        """Where score snapshots are kept."""
        return self.folder / "snapshots"

    @property
    def registry_uri(self) -> str:
        """The MLflow server, or the embedded store."""
        return self.tracking_uri or f"sqlite:///{self.store.resolve()}"


def home_from_environment(folder: Path | None = None) -> Home:
    """Take the folder given, else `CLOUT_HOME`, else `./clout-home`, and the server of `MLFLOW_TRACKING_URI` if set."""
    return Home(
        folder or Path(os.environ.get("CLOUT_HOME") or "clout-home"), os.environ.get("MLFLOW_TRACKING_URI") or None
    )
