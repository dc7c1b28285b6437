"""Exchange: two files or folders change names in one step, so that each name always has one of them."""

import ctypes
import errno
import os
from pathlib import Path

AT_FDCWD = -100
RENAME_EXCHANGE = 2
UNKNOWN_HERE = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}


def exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two files or folders of one disk, in one step, also in a process that is killed.

    It is Linux's renameat2(2) with RENAME_EXCHANGE, which ext4, xfs, btrfs, tmpfs and overlayfs know.

    Returns
    -------
    whether it was done; False where the system, or what the disk is formatted with, knows no such step

    Raises
    ------
    OSError : the disk refuses

    """
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    if rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0:
        return True
    failed = ctypes.get_errno()
    if failed in UNKNOWN_HERE:
        return False
    raise OSError(failed, os.strerror(failed), str(other))
