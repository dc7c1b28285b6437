"""The check before a start: what a service needs, what was found, and what to do about the rest."""

import logging
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from tempfile import TemporaryFile
from urllib.parse import urlsplit

from features.errors import CloutError, EventsError
from features.events.event_table import event_files
from features.utc import to_iso_utc
from serving.middleware.api_keys import read_keys
from serving.middleware.authentication import require_keys_off_loopback
from serving.runtime.state import ServiceState, read_cached_champion
from serving.runtime.watcher import Watcher
from serving.runtime.workers import listening
from serving.snapshots.repository import list_snapshots
from serving.snapshots.shared_database import SnapshotDatabase
from training.home import Home
from training.registry.model_registry import champion_version

GiB = 1 << 30
# What is expected, and what to do where it is not met; in braces the commands of `_requirement`.
REQUIREMENTS = {
    "home": (
        "a folder that can be written to",
        "run: {train}, or name another home with --home or CLOUT_HOME",
    ),
    "champion": ("a champion that loads against this catalogue", "run: {train}"),
    "snapshot": ("a snapshot whose files are there and agree", "run: {score}"),
    "registry": ("an MLflow registry that answers", "set MLFLOW_TRACKING_URI, or run: {train}"),
    "database": (
        "a PostgreSQL that answers",
        "set CLOUT_DATABASE to postgresql://USER@HOST/NAME, or start the server",
    ),
    "keys": ("API keys wherever others can reach the service", "run: {add_key}"),
    "port": ("an address that is free", "run: {serve}"),
    "events": ("the Parquet file or folder of Parquet files that was scored", "correct --events, or omit it"),
}
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


def check_start(home: Home, host: str, port: int, events: Path | None = None) -> list[Finding]:
    """Check everything that a service of a home on an address needs; writes nothing but a temporary file.

    `events` are those whose posts the pages show; None for none.
    """
    watcher = Watcher(home, lambda _: None)
    watcher.look_locally()
    service = watcher.service()
    return [
        *check_home(home),
        _check(home, "champion", lambda: _champion(home, service)),
        _check(home, "snapshot", lambda: _snapshot(home, service)),
        _check(home, "registry", lambda: _registry(home)),
        _check(home, "database", lambda: _database(home)),
        _check(home, "keys", lambda: _keys(home, host)),
        _check(home, "port", lambda: _port(host, port), port + 1 if port < 65_535 else 0),
        *check_events(home, events),
    ]


def check_home(home: Home) -> list[Finding]:
    """Check the home and its disk only, which takes no time."""
    return [_home(home), _disk(home)]


def check_events(home: Home, events: Path | None) -> list[Finding]:
    """Check that there are the events that `clout serve` names, if it names any."""
    return [] if events is None else [_check(home, "events", lambda: _events(events))]


def log_missing(findings: list[Finding]) -> None:
    """Log the requirements that are not met."""
    for finding in findings:
        if not finding.holds:
            log.warning("%s", finding.message)


def _home(home: Home) -> Finding:
    folder = home.folder
    expected, run = _requirement(home, "home")
    if not folder.is_dir():
        # A replica creates its home with its first snapshot.
        fits = home.database is not None and not folder.exists()
        return Finding("home", fits, f"{folder} is not there{' yet' if fits else ''}", expected, run)
    try:
        with TemporaryFile(dir=folder):
            return Finding("home", True, f"{folder} can be written to", expected, run)
    except OSError as error:
        run = f"run: chown -R $(id -u) {quote(str(folder))}"
        return Finding("home", False, f"{folder} cannot be written to ({error.strerror})", expected, run)


def _disk(home: Home) -> Finding:
    folder = next(path for path in (home.folder, *home.folder.resolve().parents) if path.exists())
    free, needed = shutil.disk_usage(folder).free, max(GiB, 2 * _largest(home))
    summary, expected = f"{free / GiB:.1f} GiB free at {folder}", f"{needed / GiB:.1f} GiB, for two new snapshots"
    run = f"make room there, or move the home: du -sh {quote(str(home.folder))}"
    return Finding("disk", free >= needed, summary, expected, run)


def _largest(home: Home) -> int:
    """Return the bytes of the largest snapshot."""
    sizes: Counter[str] = Counter()
    for file in home.snapshots.rglob("*"):
        if file.is_file():
            sizes[file.relative_to(home.snapshots).parts[0]] += file.stat().st_size
    return max(sizes.values(), default=0)


def _requirement(home: Home, name: str, free_port: int = 0) -> tuple[str, str]:
    """Return what is expected, and what to do on this home where it is not met."""
    expected, advice = REQUIREMENTS[name]
    return expected, advice.format(
        train=home.command("train EVENTS"),
        score=home.command("score EVENTS"),
        add_key=home.command("keys add NAME --scope read"),
        serve=home.command(f"serve --port {free_port}"),
    )


def _check(home: Home, name: str, describe: Callable[[], str], free_port: int = 0) -> Finding:
    """Return as a finding what `describe` returns; its error means that the requirement is not met."""
    expected, run = _requirement(home, name, free_port)
    try:
        return Finding(name, True, describe(), expected, run)
    except CloutError as error:
        return Finding(name, False, str(error), expected, run)


def _champion(home: Home, service: ServiceState) -> str:
    try:
        champion = service.champion
    except CloutError as error:
        if (cached := read_cached_champion(home)) is None:
            raise
        meanwhile = f"A start would use version {cached.version}, which was loaded last."
        raise CloutError(f"{error} {meanwhile}") from error
    of = str(champion.bundle.facts["as_of"])[:10]
    return f"version {champion.version}, of {len(champion.bundle.features)} features, trained on what came before {of}"


def _snapshot(home: Home, service: ServiceState) -> str:
    try:
        snapshot = service.snapshot()
    except CloutError:
        if not home.database or list_snapshots(home):
            raise
        database = SnapshotDatabase(home)
        if not (published := database.published()):
            raise
        return f"{published[0].name}, which a start fetches from {database.address}"
    summary = f"{to_iso_utc(snapshot.as_of)} by version {snapshot.model_version}, {snapshot.users:,} users, whole"
    return f"{summary}; {service.stale['snapshot'].detail}" if "snapshot" in service.stale else summary


def _registry(home: Home) -> str:
    address = _without_password(home.registry_uri)
    try:
        version = champion_version(home)
    except CloutError as error:
        raise CloutError(str(error).replace(home.registry_uri, address)) from error
    return f"{address} answers; {f'its champion is version {version}' if version else 'it has no champion yet'}"


def _database(home: Home) -> str:
    if not home.database:
        return "none is configured: snapshots are those of the home"
    shared = SnapshotDatabase(home)
    listed = shared.published()
    newest = f", the newest {listed[0].name}" if listed else ""
    return f"{shared.address} holds {len(listed)} snapshots{newest}"


def _keys(home: Home, host: str) -> str:
    guarded, keys = require_keys_off_loopback(home, host), read_keys(home)
    return f"{len(keys)} for {host if guarded else f'{host}, which this machine alone can reach'}"


def _events(events: Path) -> str:
    try:
        event_files(events)
    except EventsError:
        raise EventsError(f"there are none at {events}") from None
    return f"there are some at {events}"


def _port(host: str, port: int) -> str:
    listening(host, port).close()
    return f"{host} port {port} is free"


def _without_password(uri: str) -> str:
    """Remove the name and password from an address."""
    netloc = urlsplit(uri).netloc
    return uri.replace(netloc, netloc.rpartition("@")[2], 1) if "@" in netloc else uri
