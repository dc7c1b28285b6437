"""Atomic writes: a result appears complete under its name, or the previous one stays.

This holds if the work fails, if the process is killed at any moment, and if the machine loses power: data is synced to
disk before it gets its name, and names are replaced in one step. Two files or folders can also swap their names in one
step.
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

from features.errors import EventsError, OutputError, write_error

NON_EVENT_SUFFIXES = (".csv", ".tsv", ".gz", ".json", ".jsonl", ".ndjson", ".xml", ".zip", ".7z")
PREFIX = ".clout-aside-"
OLDER = "older"
AT_FDCWD = -100
RENAME_EXCHANGE = 2
NOT_SUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}


@contextmanager
def scratch_dir(out: Path) -> Iterator[Path]:
    """Create a scratch folder beside `out`, on the same disk, that is removed on exit.

    A process that is killed leaves its folder there; the next one that writes beside it removes it.

    Raises
    ------
    OutputError : the parent folder cannot be written to

    """
    with ExitStack() as stack:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            remove_orphans(out.parent)
            folder = _locked_folder(out.parent, stack)
        except OSError as error:
            raise write_error(out.parent, error) from error
        yield folder


def check_writable(out: Path) -> None:
    """Check that a result can be written beside `out`, before a long computation.

    Raises
    ------
    OutputError : the parent folder cannot be written to

    """
    with scratch_dir(out):
        pass


def publish(source: Path, out: Path, scratch: Path) -> None:
    """Move the file or folder `source` to `out` and replace what is there; all three paths are on one disk.

    If a folder is replaced on a disk that cannot swap two names in one step (see `swap_paths`), the name is absent for
    a moment. If the process is killed then, the next one that writes beside `out` restores the previous folder.
    """
    fsync_tree(source)
    if not out.is_dir():
        source.replace(out)
    elif not swap_paths(source, out):
        _replace_in_two_steps(source, out, scratch / OLDER / out.name)
    _fsync(out.parent)


def fsync_tree(path: Path) -> None:
    """Sync a file, or a folder with all its content, to disk; without it a power loss may leave empty files."""
    for folder, _, files in os.walk(path):
        for name in files:
            _fsync(Path(folder, name))
        _fsync(Path(folder))
    if path.is_file():
        _fsync(path)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # fsync(2): the file system has no buffers to sync
            raise
    finally:
        os.close(descriptor)


def _replace_in_two_steps(source: Path, out: Path, older: Path) -> None:
    older.parent.mkdir()
    out.rename(older)
    try:
        source.rename(out)
    except BaseException:
        older.rename(out)
        raise


def _locked_folder(parent: Path, stack: ExitStack) -> Path:
    """Create a folder that is locked until `stack` closes; the system releases the lock if the process is killed."""
    while True:
        folder = Path(mkdtemp(prefix=PREFIX, dir=parent))
        with suppress(FileNotFoundError):  # another process removed it before it was locked
            descriptor = _open_folder(folder, stack)
            stack.callback(rmtree, folder, ignore_errors=True)
            with suppress(OSError):  # a file system without locks: orphans are never removed there
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            folder.stat()
            return folder


def _open_folder(folder: Path, stack: ExitStack) -> int:
    descriptor = os.open(folder, os.O_RDONLY)
    stack.callback(os.close, descriptor)
    return descriptor


def remove_orphans(parent: Path) -> None:
    """Remove scratch folders that no process has locked, and restore the folders they were about to replace."""
    for orphan in parent.glob(f"{PREFIX}*"):
        with ExitStack() as stack, suppress(OSError):  # locked by a process, owned by another user, or just removed
            fcntl.flock(_open_folder(orphan, stack), fcntl.LOCK_EX | fcntl.LOCK_NB)
            for older in orphan.glob(f"{OLDER}/*"):
                if not (parent / older.name).exists():
                    older.rename(parent / older.name)
            rmtree(orphan)


def is_single_file(out: Path) -> bool:
    """Return whether a name is that of one Parquet file; events under any other name are a folder of parts."""
    return out.suffix == ".parquet"


def check_parquet_name(option: str, out: Path) -> None:
    """Reject the name of another kind of file for what an option writes as Parquet.

    Raises
    ------
    OutputError : the name does not end in .parquet

    """
    if not is_single_file(out):
        raise OutputError(f"{option} is {out}; expected a name that ends in .parquet.")


def check_events_path(out: Path) -> None:
    """Reject a path that is not valid for an event table, or where something else must not be overwritten.

    Raises
    ------
    EventsError : says what was found and what was expected

    """
    if not out.name or out.suffix.lower() in NON_EVENT_SUFFIXES:
        raise EventsError(f"events cannot be written to {str(out)!r}: expected a .parquet file or a folder.")
    if not out.exists():
        return
    if is_single_file(out) != out.is_file():
        kind = "file" if out.is_file() else "folder"
        raise EventsError(f"{out} is a {kind} already; expected a .parquet file or a folder of events.")
    foreign = [] if out.is_file() else sorted(file.name for file in out.iterdir() if not file.match("part-*.parquet"))
    if foreign:
        raise EventsError(f"{out} contains {foreign[0]}, which is not a part of events; choose another folder.")


def swap_paths(one: Path, other: Path) -> bool:
    """Swap the names of two files or folders of one disk in one step, so that neither name is ever absent.

    Calls Linux's renameat2(2) with RENAME_EXCHANGE, which Python does not expose. The file systems ext4, xfs, btrfs,
    tmpfs and overlayfs support it.

    Returns
    -------
    whether the names were swapped; False if the system or the file system does not support it

    Raises
    ------
    OSError : the file system rejects the swap

    """
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    if renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in NOT_SUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(other))
