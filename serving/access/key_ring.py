"""The key ring of a running service: it sees added and removed keys without a restart."""

import logging
import os

from serving.access.keys import Key, KeysError, find_key, keys_file, read_keys
from training.home import Home

log = logging.getLogger("clout")


class KeyRing:
    """The keys of a home, as they are now.

    The file is looked at on every request, which costs two microseconds, and read when it was replaced. Where it is
    damaged or gone, the last good keys stay, and the log says so.

    Parameters
    ----------
    home : where the keys are kept
    guarded : whether keys are demanded even while there are none; else they are from the first key on. A service that
        demanded keys once does so until it ends: taking the last key away opens nothing.

    Raises
    ------
    KeysError : the file is damaged

    """

    def __init__(self, home: Home, guarded: bool):
        self._home = home
        self._file = keys_file(home)
        self._seen = self._look()
        self._keys = read_keys(home)
        self._demanded = guarded or bool(self._keys)

    def demanded(self) -> bool:
        """Say whether requests need a key."""
        self._renew()
        return self._demanded

    def find(self, given: str) -> Key | None:
        """Return the key that was given, if it is on the ring."""
        return find_key(self._keys, given)

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._file)  # noqa: PTH116 - a third faster than Path.stat, on every request
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _renew(self) -> None:
        seen = self._look()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            if seen is None:
                raise KeysError(f"{self._file} is gone.")
            self._keys = read_keys(self._home)
        except KeysError as error:
            log.error("%s The service keeps the %d API keys it has.", error, len(self._keys))
            return
        self._demanded = self._demanded or bool(self._keys)
        names = ", ".join(sorted(key.name for key in self._keys.values()))
        log.info("API keys are now: %s.", names or "none")
