"""The files of a source: one file, or those of a folder that can be read."""

from pathlib import Path

from features.errors import EventsError

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".car")
SHOWN = 8


def list_files(path: Path, endings: tuple[str, ...], meant: str) -> tuple[list[Path], tuple[str, ...]]:
    """List what is to be read, in the order of the names.

    Parameters
    ----------
    path : a file, or a folder whose own files are taken, not those of folders in it
    endings : how the names end that can be read, in lower case
    meant : what was expected, for the error

    Returns
    -------
    the files, and a note that names what else is in the folder, if anything is

    Raises
    ------
    EventsError : nothing is there that can be read

    """
    if not path.exists():
        raise EventsError(f"{path} is not there; expected {meant}.")
    if not path.is_dir():
        _refuse_unreadable(path, endings, meant)
        return [path], ()
    held = sorted(each for each in path.iterdir() if each.is_file() and not each.name.startswith((".", "_")))
    files = [each for each in held if each.name.lower().endswith(endings)]
    if not files:
        found = _named([each for each in sorted(path.iterdir()) if not each.name.startswith(".")])
        raise EventsError(
            f"{path} holds {found}; expected {meant}, in files with names that end in {', '.join(endings)}."
        )
    others = [each for each in held if each not in files]
    return files, (f"passed over {_named(others)} in {path}",) if others else ()


def _refuse_unreadable(path: Path, endings: tuple[str, ...], meant: str) -> None:
    name = path.name.lower()
    if name.endswith(ARCHIVES):
        raise EventsError(f"{path} is an archive; unpack it first (unzip, tar xf) and import the folder.")
    if not name.endswith(endings):
        raise EventsError(
            f"{path} is of an unknown kind; expected {meant}, with a name that ends in {', '.join(endings)}."
        )


def _named(paths: list[Path]) -> str:
    shown = ", ".join(each.name for each in paths[:SHOWN])
    return f"{shown} and {len(paths) - SHOWN} more" if len(paths) > SHOWN else shown or "nothing"
