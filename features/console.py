"""What the command shows: progress on long work, tables, warnings; figures go to stdout, all else to stderr."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document for machines.")]

OUT = Console(highlight=False)
ERR = Console(stderr=True, highlight=False)


@contextmanager
def progress_bars() -> Iterator[Callable[[str, float], None]]:
    """Show a bar per step of long work; yields what takes a step's name and the share of it that is done."""
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
    """Show one bar; yields what takes the share of the work that is done."""
    with progress_bars() as show:
        show(name, 0.0)
        yield lambda share: show(name, share)
        show(name, 1.0)


def print_message(text: str) -> None:
    """Print a line to stderr, where it is in nobody's way."""
    ERR.print(text, markup=False, soft_wrap=True)


def warn(text: str) -> None:
    """Print a warning to stderr."""
    ERR.print(f"warning: {text}", style="yellow", markup=False, soft_wrap=True)


def print_json(value: object) -> None:
    """Print one JSON document to stdout."""
    typer.echo(json.dumps(value, indent=1, allow_nan=False))


def print_table(title: str, columns: list[str], rows: list[list[str]], left: int = 1) -> None:
    """Print a table to stdout; the first `left` columns are text, the others figures set to the right.

    All is shown as it is: an id may hold what would be markup.
    """
    shown = Table(title=Text(title, "bold"), title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for k, column in enumerate(columns):
        shown.add_column(Text(column), justify="left" if k < left else "right", overflow="fold")
    for row in rows:
        shown.add_row(*map(Text, row))
    OUT.print(shown)
