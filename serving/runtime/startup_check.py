"""The check before a start: what a service needs, what was found, and what to do about the rest."""

import logging
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile
from urllib.parse import urlsplit

from features.errors import CloutError
from features.utc import to_iso_utc
from serving.middleware.api_keys import read_keys
from serving.middleware.authentication import require_keys_off_loopback
from serving.runtime.champion_cache import read_cached_champion
from serving.runtime.state import ServiceState
from serving.runtime.watcher import Watcher
from serving.runtime.workers import listening
from serving.snapshots.publishing import SnapshotDatabase
from training.home import Home
from training.registry.model_registry import champion_version

GiB = 1 << 30
log = logging.getLogger("clout")


@dataclass(frozen=True)
class Finding:
    """One thing that a service needs.

    Parameters
    ----------
    name : of the thing
    holds : whether the requirement is met
    found, expected : in words
    run : what to do if it is not met

    """

    name: str
    holds: bool
    found: str
    expected: str
    run: str

    @property
    def message(self) -> str:
        """The finding as one line, with advice if it is not met."""
        if self.holds:
            return f"{self.name}: {self.found}"
        return f"{self.name}: {self.found.rstrip('.')}; expected {self.expected}; {self.run}"

    def as_dict(self) -> dict:
        """Return the finding for machines."""
        return asdict(self)


def check_start(home: Home, host: str, port: int) -> list[Finding]:
    """Check everything that a service of a home on an address needs; writes nothing but a temporary file."""
    watcher = Watcher(home, lambda _: None)
    watcher.look_locally()
    service = watcher.service()
    return [
        *check_home(home),
        _champion(home, service),
        _snapshot(service),
        _registry(home),
        _database(home),
        _keys(home, host),
        _port(host, port),
    ]


def check_home(home: Home) -> list[Finding]:
    """Check the home and its disk only, which takes no time."""
    return [_home(home), _disk(home)]


def log_missing(findings: list[Finding]) -> None:
    """Log the requirements that are not met."""
    for finding in findings:
        if not finding.holds:
            log.warning("%s", finding.message)


def _home(home: Home) -> Finding:
    folder = home.folder
    expected, run = "a folder that can be written to", "run: clout demo, or set CLOUT_HOME to where the models are"
    if not folder.is_dir():
        # A replica creates its home with its first snapshot.
        fits = home.database is not None and not folder.exists()
        return Finding("home", fits, f"{folder} is not there{' yet' if fits else ''}", expected, run)
    try:
        with TemporaryFile(dir=folder):
            return Finding("home", True, f"{folder} can be written to", expected, run)
    except OSError as error:
        return Finding("home", False, f"{folder} cannot be written to ({error.strerror})", expected, _own(folder))


def _own(folder: Path) -> str:
    return f"run: chown -R $(id -u) {folder}"


def _disk(home: Home) -> Finding:
    folder = next(path for path in (home.folder, *home.folder.resolve().parents) if path.exists())
    free, needed = shutil.disk_usage(folder).free, max(GiB, 2 * _largest(home))
    summary, expected = f"{free / GiB:.1f} GiB free at {folder}", f"{needed / GiB:.1f} GiB, for two new snapshots"
    run = f"make room there, or move the home: du -sh {home.folder}"
    return Finding("disk", free >= needed, summary, expected, run)


def _largest(home: Home) -> int:
    """Return the bytes of the largest snapshot."""
    folders = [path for path in home.snapshots.iterdir() if path.is_dir()] if home.snapshots.is_dir() else []
    return max((sum(_sizes(folder)) for folder in folders), default=0)


def _sizes(folder: Path) -> Iterator[int]:
    return (file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _champion(home: Home, service: ServiceState) -> Finding:
    expected, run = "a champion that loads against this catalogue", "run: clout train EVENTS"
    try:
        champion = service.champion
    except CloutError as error:
        cached = read_cached_champion(home)
        meanwhile = f" A start would answer by version {cached.version}, which was loaded last." if cached else ""
        return Finding("champion", False, f"{error}{meanwhile}", expected, run)
    of = str(champion.bundle.facts["as_of"])[:10]
    summary = (
        f"version {champion.version}, of {len(champion.bundle.features)} features, trained on what came before {of}"
    )
    return Finding("champion", True, summary, expected, run)


def _snapshot(service: ServiceState) -> Finding:
    expected = "a snapshot whose files are there and agree"
    run = "run: clout score EVENTS --as-of T --out scores.parquet"
    try:
        snapshot = service.snapshot()
    except CloutError as error:
        return Finding("snapshot", False, str(error), expected, run)
    summary = f"{to_iso_utc(snapshot.as_of)} by version {snapshot.model_version}, {snapshot.users:,} users, whole"
    return Finding("snapshot", True, summary, expected, run)


def _registry(home: Home) -> Finding:
    address = _without_password(home.registry_uri)
    expected, run = "an MLflow registry that answers", "set MLFLOW_TRACKING_URI, or run: clout train EVENTS"
    try:
        version = champion_version(home)
    except CloutError as error:
        return Finding("registry", False, str(error).replace(home.registry_uri, address), expected, run)
    champion = f"its champion is version {version}" if version else "it has no champion yet"
    return Finding("registry", True, f"{address} answers; {champion}", expected, run)


def _database(home: Home) -> Finding:
    expected = "a PostgreSQL that answers"
    run = "set CLOUT_DATABASE to postgresql://USER@HOST/NAME, or start the server"
    if not home.database:
        return Finding("database", True, "none is asked for: snapshots are those of the home", expected, run)
    try:
        shared = SnapshotDatabase(home)
        listed = shared.published()
    except CloutError as error:
        return Finding("database", False, str(error), expected, run)
    newest = f", the newest {listed[0].name}" if listed else ""
    return Finding("database", True, f"{shared.address} holds {len(listed)} snapshots{newest}", expected, run)


def _keys(home: Home, host: str) -> Finding:
    expected, run = "API keys wherever others can reach the service", "run: clout keys add NAME --scope read"
    try:
        guarded, keys = require_keys_off_loopback(home, host), read_keys(home)
    except CloutError as error:
        return Finding("keys", False, str(error), expected, run)
    where = host if guarded else f"{host}, which this machine alone can reach"
    return Finding("keys", True, f"{len(keys)} for {where}", expected, run)


def _port(host: str, port: int) -> Finding:
    expected, run = "an address that is free", f"run: clout serve --port {port + 1 if port < 65_535 else 0}"
    try:
        listening(host, port).close()
    except CloutError as error:
        return Finding("port", False, str(error), expected, run)
    return Finding("port", True, f"{host} port {port} is free", expected, run)


def _without_password(uri: str) -> str:
    """Remove the name and password from an address."""
    netloc = urlsplit(uri).netloc
    return uri.replace(netloc, netloc.rpartition("@")[2], 1) if "@" in netloc else uri
