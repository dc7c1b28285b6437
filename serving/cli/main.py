"""The `clout` command: commands of every layer; errors become messages and exit codes here."""

import os
import sys
from typing import Annotated

import typer

import features.cli
import training.cli
from features.cli_options import CAMPAIGN, MODEL, PRIVACY, REVIEW, SERVICE
from features.console import print_message
from features.errors import CloutError, memory_limit_error, storage_error
from serving.cli.explain_and_review import change, explain, history, what_if
from serving.cli.find_and_pick import find, pick
from serving.cli.privacy import audit, case, cases, forget, opt_out, receipt, resolve
from serving.cli.promotion import promote
from serving.cli.scoring import score
from serving.cli.service import demo, keys, serve
from serving.cli.snapshots import snapshots

HELP = """Clout scores how much influence people have, 0 to 100, from what happens around them, and shows its working.

The way through: **import** (or **simulate**) events, **train** a model, **score** everybody, **explain** a score,
**serve**. Start with **clout demo**.
"""


def add_to(app: typer.Typer) -> None:
    """Add the commands of the serving layer to the application."""
    panels = {
        MODEL: (promote,),
        REVIEW: (explain, history, change, what_if, cases, case, resolve),
        CAMPAIGN: (find, pick),
        SERVICE: (score, serve, demo),
        PRIVACY: (opt_out, forget, receipt, audit),
    }
    for panel, commands in panels.items():
        for command in commands:
            app.command(rich_help_panel=panel)(command)
    app.add_typer(keys, name="keys", rich_help_panel=SERVICE)
    app.add_typer(snapshots, name="snapshots", rich_help_panel=SERVICE)


app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="markdown", pretty_exceptions_enable=False, add_completion=False
)


def _print_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        typer.echo(f"clout {version('clout-score')}")
        raise typer.Exit


@app.callback(help=HELP)
def options(
    print_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take the options of the command itself."""


features.cli.add_to(app)
training.cli.add_to(app)
add_to(app)


def main() -> None:
    """Run the command; print an error that the caller can fix in one line and exit with code 2."""
    # Booster threads that wait in a busy loop slow down other processes on the machine, and each other.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except CloutError as error:
        print_message(f"error: {error}")
        sys.exit(2)
    except Exception as error:
        from features.events.engines import engine_error  # loads Ibis

        if (cause := memory_limit_error(error) or engine_error(error) or storage_error(error)) is None:
            raise
        print_message(f"error: {cause}")
        sys.exit(2)
