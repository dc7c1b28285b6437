"""Markdown of the model card and of the gate's report: bullets, tables and sections."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.evaluation.report_types import BaselineLead, SignalComparison


def bullets(texts: Iterable[str]) -> list[str]:
    """Return a list with one item per text."""
    return [f"- {text}" for text in texts]


def table(names: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1) -> list[str]:
    """Return a table; the first `text_columns` columns are left-aligned, the others right-aligned."""
    ruler = ["---" if k < text_columns else "---:" for k in range(len(names))]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in (names, ruler, *rows)]


def document(sections: dict[str, list[str]]) -> str:
    """Return a document of sections by title; the first title is that of the document."""
    return "\n".join(
        line
        for k, (title, lines) in enumerate(sections.items())
        for line in (f"{'##' if k else '#'} {title}", *lines, "")
    )


def signal_rows(figures: "SignalComparison") -> list[list[str]]:
    """Return each signal's name and figures as text, empty where a figure is missing."""
    from training.evaluation.metrics import FIGURES

    return [
        [name.replace("_", " "), *("" if metrics.get(key) is None else f"{metrics[key]:.3f}" for key in FIGURES)]
        for name, metrics in figures.metrics.items()
    ]


def lead_rows(figures: "SignalComparison") -> list[list[str]]:
    """Return the score's lead over the best baseline in each figure, and its interval, as text."""
    from training.evaluation.metrics import FIGURES

    return [
        [FIGURES[key], lead.best_baseline.replace("_", " "), f"{lead.margin:+.3f}", _range(lead)]
        for key, lead in figures.margins.items()
    ]


def _range(lead: "BaselineLead") -> str:
    return f"{lead.low:+.3f} to {lead.high:+.3f}"
