"""The last loaded champion, cached in the home: a service starts with it before its registry has answered."""

import json
import logging
from hashlib import sha256
from shutil import rmtree

from features.atomic_files import publish, scratch_dir
from features.errors import CloutError
from serving.runtime.state import Champion
from training.home import Home
from training.model.bundle_files import load_bundle, save_bundle

METADATA = "champion.json"
log = logging.getLogger("clout")


def cache_champion(home: Home, champion: Champion) -> None:
    """Replace the cached champion; if the home is absent or cannot be written, the log says so."""
    out = home.champion
    metadata = {"registry": _registry(home), "version": champion.version, "figures": champion.figures}
    try:
        home.folder.stat()
        with scratch_dir(out) as scratch:
            folder = scratch / out.name
            save_bundle(champion.bundle, folder)
            (folder / METADATA).write_text(json.dumps(metadata) + "\n")
            publish(folder, out, scratch)
    except (OSError, CloutError) as error:
        log.warning("The champion cannot be cached for the next start, which then waits for the registry: %s", error)


def read_cached_champion(home: Home) -> Champion | None:
    """Return the cached champion, ready to answer; None if it is of another registry or cannot be used."""
    try:
        metadata = json.loads((home.champion / METADATA).read_text())
        if metadata["registry"] != _registry(home):
            return None
        champion = Champion(load_bundle(home.champion), metadata["version"], metadata["figures"])
        champion.bundle.warm()
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, CloutError) as error:
        log.warning("The cached champion cannot be used: %s", error)
        return None
    return champion


def discard(home: Home) -> None:
    """Remove the cached champion: its report may name users, one of which is to be deleted."""
    rmtree(home.champion, ignore_errors=True)


def _registry(home: Home) -> str:
    """Return a hash that identifies the registry without storing a password in its address."""
    return sha256(home.registry_uri.encode()).hexdigest()
