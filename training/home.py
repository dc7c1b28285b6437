"""The home folder `CLOUT_HOME`: paths of the MLflow store, snapshots and records."""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from features.errors import CloutError

FROM_ENVIRONMENT = {"tracking_uri": "MLFLOW_TRACKING_URI", "database": "CLOUT_DATABASE"}


@dataclass(frozen=True)
class Home:
    """A folder and the paths in it.

    Parameters
    ----------
    folder : created when something is first written
    tracking_uri : of an MLflow server; None stores runs and models in the folder
    database : URL of a PostgreSQL that replicas share; None stores records in the folder

    """

    folder: Path
    tracking_uri: str | None = None
    database: str | None = None

    def command(self, words: str) -> str:
        """Return a clout command that uses this home, to copy into a shell."""
        if self.folder == home_from_environment().folder:
            return f"clout {words}"
        return f"clout {words} --home {shlex.quote(str(self.folder))}"

    @property
    def store(self) -> Path:
        """The SQLite file of the embedded MLflow store."""
        return self.folder / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        """The folder of models and plots of the embedded MLflow store."""
        return self.folder / "mlartifacts"

    @property
    def snapshots(self) -> Path:
        """The folder of score snapshots."""
        return self.folder / "snapshots"

    @property
    def champion(self) -> Path:
        """The folder in which a service caches the champion that it last loaded."""
        return self.folder / "champion"

    @property
    def records(self) -> Path:
        """The SQLite file of records: opt-outs, deletions and cases."""
        return self.folder / "records.db"

    @property
    def records_uri(self) -> str:
        """The shared database, or the SQLite file."""
        return self.database or f"sqlite:///{self.records.resolve()}"

    @property
    def registry_uri(self) -> str:
        """The MLflow server, or the embedded store."""
        return self.tracking_uri or f"sqlite:///{self.store.resolve()}"


def home_from_environment(folder: Path | None = None, database: str | None = None) -> Home:
    """Return the home at `folder`, else at `CLOUT_HOME`, else at `./clout-home`.

    `MLFLOW_TRACKING_URI`, if set, is the MLflow server; `CLOUT_DATABASE`, if set, is the default of `database`.
    """
    options = {key: os.environ.get(name) or None for key, name in FROM_ENVIRONMENT.items()}
    options["database"] = database or options["database"]
    return Home(folder or Path(os.environ.get("CLOUT_HOME") or "clout-home"), **options)


def existing_home(
    folder: Path | None = None, server: Literal["database", "tracking_uri"] = "database", database: str | None = None
) -> Home:
    """Return the home as `home_from_environment` does, for commands that use what is stored in it already.

    The folder may be absent if a server, the field `server` of the home, stores what the command uses in its place.

    Raises
    ------
    CloutError : there is no such folder, as when its name is misspelled

    """
    home = home_from_environment(folder, database)
    if home.folder.is_dir() or getattr(home, server) is not None:
        return home
    raise CloutError(
        f"there is no home at {home.folder}: '{home.command('train EVENTS')}' makes one; --home or CLOUT_HOME names "
        "another."
    )
