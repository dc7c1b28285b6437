"""Markdown: bullets and tables, as the model card and the gate's report write them."""

from collections.abc import Iterable, Sequence


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
