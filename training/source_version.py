"""The version of the project that trains, and the commit of its checkout."""

import subprocess
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 10


def source_version() -> dict[str, str]:
    """Return the installed `version`, and the `commit` if the packages are a Git checkout.

    The commit ends with `-dirty` where files of the checkout were changed.
    """
    facts = {"version": version("clout-score")}
    commit = _git("describe", "--always", "--abbrev=40", "--dirty", "--match=") if _is_checkout() else None
    return facts | ({"commit": commit} if commit else {})


def _is_checkout() -> bool:
    """Return whether the repository around this file, if there is one, is the project's."""
    return _git("ls-files", "--error-unmatch", __file__) is not None


def _git(*arguments: str) -> str | None:
    """Return what git prints; None where it is absent or fails."""
    command = ["git", "-C", str(ROOT), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
