"""Markdown: bullets and tables, as the model card and the gate's report write them."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.evaluation.report import BaselineLead, SignalComparison


def bullets(texts: Iterable[str]) -> list[str]:
    """Write a line for each text."""
    return [f"- {text}" for text in texts]


def table(names: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Write a table of which the first `left` columns are text, the others figures set to the right."""
    ruler = ["---" if k < left else "---:" for k in range(len(names))]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in (names, ruler, *rows)]


def document(sections: dict[str, list[str]]) -> str:
    """Write sections by title, the first title being that of the whole."""
    return "\n".join(
        line
        for k, (title, lines) in enumerate(sections.items())
        for line in (f"{'##' if k else '#'} {title}", *lines, "")
    )


def signal_rows(figures: "SignalComparison") -> list[list[str]]:
    """Return each signal's name and figures as text, empty where it has none."""
    from training.evaluation.metrics import FIGURES

    return [
        [name.replace("_", " "), *("" if held.get(key) is None else f"{held[key]:.3f}" for key in FIGURES)]
        for name, held in figures.metrics.items()
    ]


def lead_rows(figures: "SignalComparison") -> list[list[str]]:
    """Return the score's lead over the best baseline in each figure, with its interval, as text."""
    from training.evaluation.metrics import FIGURES

    return [
        [FIGURES[key], lead.best_baseline.replace("_", " "), f"{lead.margin:+.3f}", _range(lead)]
        for key, lead in figures.margins.items()
    ]


def _range(lead: "BaselineLead") -> str:
    return f"{lead.low:+.3f} to {lead.high:+.3f}"
