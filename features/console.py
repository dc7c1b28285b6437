"""Terminal output: results go to stdout; progress, messages and warnings to stderr."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from textwrap import fill

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

OUT = Console(highlight=False)
ERR = Console(stderr=True, highlight=False)
GAP = 2


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
    """Print a line to stderr, which keeps stdout free for results; wrapped between words on a terminal."""
    ERR.print(text, markup=False, soft_wrap=not ERR.is_terminal)


def print_commands(title: str, commands: Mapping[str, str]) -> None:
    """Print commands to stderr, each on one line to copy, however long, with its purpose below, if there is one."""
    print_message(title)
    for command, purpose in commands.items():
        ERR.print(Text(f"  {command}"), soft_wrap=True)
        if purpose:
            print_message(f"      {purpose}")


def print_text(text: str) -> None:
    """Print a paragraph of a result to stdout, wrapped between words."""
    OUT.print(Text(_wrapped(text)), soft_wrap=True)


def print_points(title: str, sentences: Iterable[str], figures: Sequence[str] = ()) -> None:
    """Print a title and sentences below it to stdout; sentences alone where the title is empty.

    The `figures` stand in a column before the sentences, one for each; without any, they are bullet points.
    """
    lines = list(sentences)
    if title and lines:
        print_text(f"{title}:")
    width = max(map(len, figures), default=1)
    for k, line in enumerate(lines):
        first = f"  {figures[k]:>{width}}  " if figures else "  - " if title else ""
        OUT.print(Text(_wrapped(line, first, " " * len(first))), soft_wrap=True)


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
    ERR.print(f"warning: {text}", style="yellow", markup=False, soft_wrap=not ERR.is_terminal)


def print_json(value: object) -> None:
    """Print one JSON document to stdout."""
    typer.echo(json.dumps(value, indent=1, allow_nan=False))


def print_table(title: str, columns: list[str], rows: list[list[str]], text_columns: int = 1) -> None:
    """Print a table to stdout; the first `text_columns` columns are aligned to the left, the figures to the right.

    Cells are printed literally, since an id may contain Rich markup, and wrapped between words. A table with too little
    room for the words of its columns is printed as one paragraph per row.
    """
    OUT.print(Text(_wrapped(title), "bold"), soft_wrap=True)
    widths = column_widths(columns, rows, OUT.width)
    if widths is None:
        print_points("", (row_text(columns, row) for row in rows))
        return
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for k, (column, width) in enumerate(zip(columns, widths, strict=True)):
        table.add_column(Text(column), justify="left" if k < text_columns else "right", width=width, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    OUT.print(table)


def column_widths(columns: Sequence[str], rows: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """Return widths at which no column breaks a word, narrowed to fit the room; None if none fit.

    Titles are wrapped before cells are, so that rows stay on one line where they can, and the widest columns first.
    """
    cells = list(zip(columns, *rows, strict=True))
    widths = [max(map(cell_len, column)) for column in cells]
    wrapped = [max(_longest_word(cell) for cell in column) for column in cells]
    titles_wrapped = [max([_longest_word(title), *map(cell_len, column)]) for title, *column in cells]
    excess = sum(widths) + GAP * (len(widths) - 1) - room
    for least in (titles_wrapped, wrapped):
        while excess > 0:
            slack, k = max((width - narrow, k) for k, (width, narrow) in enumerate(zip(widths, least, strict=True)))
            if slack <= 0:
                break
            cut = min(slack, excess)
            widths[k] -= cut
            excess -= cut
    return widths if excess <= 0 else None


def _longest_word(cell: str) -> int:
    return max(map(cell_len, cell.split()), default=0)


def row_text(columns: Sequence[str], row: Sequence[str]) -> str:
    """Return a row as a sentence: its first cell, then each other cell after the name of its column."""
    cells = [" ".join(filter(None, (column, cell))) for column, cell in zip(columns[1:], row[1:], strict=True) if cell]
    return ": ".join(filter(None, (row[0].strip(), ", ".join(cells))))


def print_markdown(text: str) -> None:
    """Print a document to stdout: formatted on a terminal, else as it is."""
    if OUT.is_terminal:
        from rich.markdown import Markdown  # takes as long to import as the rest of this module

        OUT.print(Markdown(_with_narrow_tables(text, OUT.width)))
    else:
        typer.echo(text, nl=False)


def _with_narrow_tables(text: str, room: int) -> str:
    """Replace the tables of a Markdown document that are wider than the room by lists."""
    lines = []
    for is_table, block in groupby(text.splitlines(), key=lambda line: line.startswith("| ")):
        rows = list(block)
        if is_table:
            names, _, *cells = ([cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows)
            if column_widths(names, cells, room - len(names)) is None:
                rows = [f"- {row_text(names, row)}" for row in cells]
        lines += rows
    return "\n".join(lines)
