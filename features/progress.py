"""Callbacks that report the progress of long work."""

from collections.abc import Callable
from typing import TypeAlias

# Takes the share of the work that is done, 0 to 1.
Progress: TypeAlias = Callable[[float], None]
# Takes the name of a step and the share of it that is done, 0 to 1.
StepProgress: TypeAlias = Callable[[str, float], None]


def ignore_progress(*_: object) -> None:
    """Ignore progress; fits both types of callback."""


def of_step(progress: StepProgress, step: str) -> Progress:
    """Return the progress of one step."""
    return lambda share: progress(step, share)
