"""Commands that decide about people, and their lines in the audit log."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from getpass import getuser

from serving.rights.audit_log import AuditLog
from training.home import Home


@contextmanager
def commanded(home: Home, command: str, users: Iterable[str], name: str) -> Iterator[None]:
    """Do what a command decides about people, and write a line about it; nothing is done where none could be written.

    Parameters
    ----------
    home : whose log
    command : such as `clout resolve`
    users : whom it is about
    name : of who decides

    Raises
    ------
    AuditError : no line can be written

    """
    log = AuditLog(home)
    log.check()
    try:
        yield
        log.write({"method": "command", "route": command, "key": "", "name": name}, users)
    finally:
        log.close()


def user_name() -> str:
    """Return the name of the system's user, or the number where there is none."""
    try:
        return getuser()
    except (KeyError, OSError):
        return str(os.getuid())
