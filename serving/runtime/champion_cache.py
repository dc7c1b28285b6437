"""The champion that was last loaded, kept in the home: a service starts with it before its registry has answered."""

import json
import logging
from hashlib import sha256
from shutil import rmtree

from features.atomic_files import publish, scratch_dir
from features.errors import CloutError
from serving.runtime.state import Champion
from training.home import Home
from training.model.bundle_files import load_bundle, save_bundle

TOLD = "champion.json"
log = logging.getLogger("clout")


def cache_champion(home: Home, champion: Champion) -> None:
    """Put a champion in the place of the one before; where the home is not there or refuses, the log says so."""
    out = home.champion
    told = {"registry": _registry(home), "version": champion.version, "figures": champion.figures}
    try:
        home.folder.stat()
        with scratch_dir(out) as scratch:
            made = scratch / out.name
            save_bundle(champion.bundle, made)
            (made / TOLD).write_text(json.dumps(told) + "\n")
            publish(made, out, scratch)
    except (OSError, CloutError) as error:
        log.warning("The champion is not kept for the next start, which has to wait for the registry: %s", error)


def read_cached_champion(home: Home) -> Champion | None:
    """Return the champion that was kept, ready to answer; None where it is of another registry or cannot be used."""
    try:
        told = json.loads((home.champion / TOLD).read_text())
        if told["registry"] != _registry(home):
            return None
        champion = Champion(load_bundle(home.champion), told["version"], told["figures"])
        champion.bundle.warm()
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, CloutError) as error:
        log.warning("The champion that was kept cannot be used: %s", error)
        return None
    return champion


def discard(home: Home) -> None:
    """Remove what is kept: with the model's report it may name people, one of whom is to be forgotten."""
    rmtree(home.champion, ignore_errors=True)


def _registry(home: Home) -> str:
    """Tell registries apart without writing down a password that an address may hold."""
    return sha256(home.registry_uri.encode()).hexdigest()
