"""Progress of long work, reported to whoever shows it."""

from collections.abc import Callable
from typing import TypeAlias

# Takes the share of the work that is done, 0 to 1.
Progress: TypeAlias = Callable[[float], None]
# Takes the name of a step and the share of it that is done, 0 to 1.
StepProgress: TypeAlias = Callable[[str, float], None]


def ignore_progress(*_: object) -> None:
    """Report to nobody; fits both kinds of progress."""


def of_step(progress: StepProgress, step: str) -> Progress:
    """Return the progress of one step."""
    return lambda share: progress(step, share)
