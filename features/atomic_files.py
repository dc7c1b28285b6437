"""Writing aside: a result appears whole under its name, or the older one stays.

That holds when the work fails, when the process is killed at any moment, and when the machine loses its power: what was
written is on the disk before it gets its name, and a name changes hands in one step.

Exchange: two files or folders change names in one step, so that each name always has one of them.
"""

import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from features.errors import EventsError, OutputError

FOREIGN = (".csv", ".tsv", ".gz", ".json", ".jsonl", ".ndjson", ".xml", ".zip", ".7z")
PREFIX = ".clout-aside-"
OLDER = "older"


@contextmanager
def scratch_dir(out: Path) -> Iterator[Path]:
    """Open a folder beside `out`, on the same disk, that is gone afterwards whatever happens.

    A process that is killed leaves its folder there; the next one that writes beside it clears it away.

    Raises
    ------
    OutputError : nothing can be written there

    """
    with ExitStack() as held:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            remove_orphans(out.parent)
            folder = _held_folder(out.parent, held)
        except OSError as error:
            raise OutputError(f"{out.parent} cannot be written to: {error.strerror}.") from error
        yield folder


def publish(made: Path, out: Path, scratch: Path) -> None:
    """Put the file or folder `made` in the place of `out`; both, and `scratch`, are on one disk.

    Where a folder is replaced and the disk cannot exchange two names in one step (see below), the name
    has nothing for a moment; if the process is killed in it, the next one that writes beside `out` puts the older
    folder back.
    """
    fsync_tree(made)
    if not out.is_dir():
        made.replace(out)
    elif not swap_paths(made, out):
        _replace_in_two_steps(made, out, scratch / OLDER / out.name)
    _sync(out.parent)


def fsync_tree(made: Path) -> None:
    """Wait until a file, or a folder with all that is in it, is on the disk; else a power loss may leave it empty."""
    for folder, _, files in os.walk(made):
        for name in files:
            _sync(Path(folder, name))
        _sync(Path(folder))
    if made.is_file():
        _sync(made)


def _sync(place: Path) -> None:
    opened = os.open(place, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno != errno.EINVAL:  # fsync(2): what this lies on keeps nothing back
            raise
    finally:
        os.close(opened)


def _replace_in_two_steps(made: Path, out: Path, older: Path) -> None:
    older.parent.mkdir()
    out.rename(older)
    try:
        made.rename(out)
    except BaseException:
        older.rename(out)
        raise


def _held_folder(parent: Path, held: ExitStack) -> Path:
    """Make a folder that is locked as long as `held` is open: the system unlocks it when its process is gone."""
    while True:
        folder = Path(mkdtemp(prefix=PREFIX, dir=parent))
        with suppress(FileNotFoundError):  # another process cleared it away before it was locked
            opened = _opened(folder, held)
            held.callback(rmtree, folder, ignore_errors=True)
            with suppress(OSError):  # a disk that knows no locks; what is left there nobody clears
                fcntl.flock(opened, fcntl.LOCK_EX)
            folder.stat()
            return folder


def _opened(folder: Path, held: ExitStack) -> int:
    opened = os.open(folder, os.O_RDONLY)
    held.callback(os.close, opened)
    return opened


def remove_orphans(parent: Path) -> None:
    """Take away the folders that no process holds any more, and put back what one of them was about to replace."""
    for left in parent.glob(f"{PREFIX}*"):
        with ExitStack() as held, suppress(OSError):  # one that is held, another's, or gone by now stays as it is
            fcntl.flock(_opened(left, held), fcntl.LOCK_EX | fcntl.LOCK_NB)
            for older in left.glob(f"{OLDER}/*"):
                if not (parent / older.name).exists():
                    older.rename(parent / older.name)
            rmtree(left)


def is_single_file(out: Path) -> bool:
    """Say whether events go to one Parquet file; any other name is a folder of parts."""
    return out.suffix == ".parquet"


def check_events_path(out: Path) -> None:
    """Refuse a place that can hold no event table, or where something else is that must not be overwritten.

    Raises
    ------
    EventsError : says what is there and what was expected

    """
    if not out.name or out.suffix.lower() in FOREIGN:
        raise EventsError(f"events cannot be written to {str(out)!r}: expected a .parquet file or a folder.")
    if not out.exists():
        return
    if is_single_file(out) != out.is_file():
        kind = "file" if out.is_file() else "folder"
        raise EventsError(f"{out} is a {kind} already; expected a .parquet file or a folder of events.")
    foreign = [] if out.is_file() else sorted(each.name for each in out.iterdir() if not each.match("part-*.parquet"))
    if foreign:
        raise EventsError(f"{out} holds {foreign[0]}, which is no part of events; choose another folder.")


AT_FDCWD = -100
RENAME_EXCHANGE = 2
UNKNOWN_HERE = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}


def swap_paths(one: Path, other: Path) -> bool:
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
