"""Where things live: `CLOUT_HOME` holds events, snapshots and the MLflow store."""

import os
from dataclasses import dataclass
from pathlib import Path

FROM_ENVIRONMENT = {"tracking_uri": "MLFLOW_TRACKING_URI", "database": "CLOUT_DATABASE"}


@dataclass(frozen=True)
class Home:
    """A folder and the places in it.

    Parameters
    ----------
    folder : made when something is first written
    tracking_uri : of a real MLflow server; None keeps runs and models in the folder
    database : URL of a PostgreSQL that several replicas share; None keeps records in the folder

    """

    folder: Path
    tracking_uri: str | None = None
    database: str | None = None

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
    def champion(self) -> Path:
        """Where a service keeps the champion that it last loaded."""
        return self.folder / "champion"

    @property
    def records(self) -> Path:
        """The SQLite file of what people asked for and what was decided."""
        return self.folder / "records.db"

    @property
    def records_uri(self) -> str:
        """The shared database, or the file."""
        return self.database or f"sqlite:///{self.records.resolve()}"

    @property
    def registry_uri(self) -> str:
        """The MLflow server, or the embedded store."""
        return self.tracking_uri or f"sqlite:///{self.store.resolve()}"


def home_from_environment(folder: Path | None = None, database: str | None = None) -> Home:
    """Take the folder given, else `CLOUT_HOME`, else `./clout-home`.

    `MLFLOW_TRACKING_URI` names an MLflow server, `CLOUT_DATABASE` a PostgreSQL unless one is given, if they are set.
    """
    told = {key: os.environ.get(name) or None for key, name in FROM_ENVIRONMENT.items()}
    told["database"] = database or told["database"]
    return Home(folder or Path(os.environ.get("CLOUT_HOME") or "clout-home"), **told)
