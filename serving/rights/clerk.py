"""The clerk of a service: brings deletions to their end, beside the requests."""

import logging
from threading import Lock, Thread

from features.errors import CloutError
from serving.rights.deletion import carry_out
from training.home import Home
from training.receipts import under_way

log = logging.getLogger("clout")


class Clerk:
    """Works off what is under way in a thread of its own, one at a time.

    Parameters
    ----------
    home : whose deletions

    """

    def __init__(self, home: Home):
        self._home = home
        self._alone = Lock()
        self._thread: Thread | None = None
        self._failed = ""

    def look(self) -> None:
        """Begin to work where there is something to do and nobody of this process does it."""
        with self._alone:
            try:
                busy = self._thread is not None and self._thread.is_alive()
                if not busy and under_way(self._home):
                    # A daemon: what a process leaves when it ends, the next look of another takes up.
                    self._thread = Thread(target=self._work, name="clerk", daemon=True)
                    self._thread.start()
                self._failed = ""
            except CloutError as error:
                if str(error) != self._failed:
                    log.error("Deletions cannot be looked for: %s", error)
                self._failed = str(error)

    def wait(self) -> None:
        """Wait until what was begun is done."""
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        try:
            for receipt in carry_out(self._home):
                log.info("The deletion of receipt %s is at its end", receipt.receipt)
        except CloutError as error:
            log.error("A deletion is not at its end yet and is tried again: %s", error)
        except Exception:
            log.exception("A deletion failed, and is tried again")
