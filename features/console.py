"""Terminal output: results go to stdout; progress, messages and warnings to stderr."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from textwrap import fill

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

OUT = Console(highlight=False)
ERR = Console(stderr=True, highlight=False)


@contextmanager
def progress_bars() -> Iterator[Callable[[str, float], None]]:
    """Show a progress bar per step; yield a callback that takes a step's name and its completed share (0 to 1)."""
    columns = (SpinnerColumn(), TextColumn("{task.description:<12}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=ERR) as bars:
        tasks: dict[str, TaskID] = {}

        def show(step: str, share: float) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=1.0)
            bars.update(tasks[step], completed=share)

        yield show


@contextmanager
def progress_bar(name: str) -> Iterator[Callable[[float], None]]:
    """Show one progress bar; yield a callback that takes the completed share (0 to 1)."""
    with progress_bars() as show:
        show(name, 0.0)
        yield lambda share: show(name, share)
        show(name, 1.0)


def print_message(text: str) -> None:
    """Print a line to stderr, which keeps stdout free for results."""
    ERR.print(text, markup=False, soft_wrap=True)


def print_text(text: str) -> None:
    """Print a paragraph of a result to stdout, wrapped between words."""
    OUT.print(Text(_wrapped(text)), soft_wrap=True)


def print_points(title: str, sentences: Iterable[str]) -> None:
    """Print a title and sentences below it to stdout; sentences alone where the title is empty."""
    lines = list(sentences)
    if title and lines:
        print_text(f"{title}:")
    indents = ("  - ", "    ") if title else ("", "")
    for line in lines:
        OUT.print(Text(_wrapped(line, *indents)), soft_wrap=True)


def _wrapped(text: str, first: str = "", others: str = "") -> str:
    """Wrap a text between words; a word longer than a line, such as an id, stays whole."""
    return fill(
        text,
        OUT.width,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )


def warn(text: str) -> None:
    """Print a warning to stderr."""
    ERR.print(f"warning: {text}", style="yellow", markup=False, soft_wrap=True)


def print_json(value: object) -> None:
    """Print one JSON document to stdout."""
    typer.echo(json.dumps(value, indent=1, allow_nan=False))


def print_table(title: str, columns: list[str], rows: list[list[str]], text_columns: int = 1) -> None:
    """Print a table to stdout; the first `text_columns` columns are aligned to the left, the figures to the right.

    Cells are printed literally, since an id may contain Rich markup.
    """
    OUT.print(Text(_wrapped(title), "bold"), soft_wrap=True)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for k, column in enumerate(columns):
        table.add_column(Text(column), justify="left" if k < text_columns else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    OUT.print(table)
