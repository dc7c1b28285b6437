"""The `clout` command: commands of every layer; errors become messages and exit codes here."""

import os
import sys

import typer

import features.cli
import serving.cli.score_and_serve
import training.cli
from features.console import print_message
from features.errors import CloutError

HELP = """Clout scores how much influence people have, 0 to 100, from what happens around them, and shows its working.

The way through: **import** (or **simulate**) events, **train** a model, **score** everybody, **explain** a score,
**serve**. Start with **clout demo**.
"""

app = typer.Typer(
    help=HELP, no_args_is_help=True, rich_markup_mode="markdown", pretty_exceptions_enable=False, add_completion=False
)
features.cli.add_to(app)
training.cli.add_to(app)
serving.cli.score_and_serve.add_to(app)


def main() -> None:
    """Run the command; print an error that the caller can fix in one line and exit with code 2."""
    # Booster threads that wait in a busy loop slow down other processes on the machine, and each other.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except CloutError as error:
        print_message(f"error: {error}")
        sys.exit(2)
