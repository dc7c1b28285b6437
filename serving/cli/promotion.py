"""The command that makes a version the champion, and says which scores are served then."""

from typing import Annotated

import typer

from features.cli_options import HomeFolder
from features.console import print_commands, print_message, warn
from training.cli import Force
from training.cli_output import print_promotion
from training.home import Home, home_from_environment


def promote(
    version: Annotated[str, typer.Argument(help="A version of the model, such as 3.")],
    force: Force = None,
    home: HomeFolder = None,
) -> None:
    """Make a version the champion, to roll back to an earlier one or to go forward again.

    Its newest snapshot is served from now on, or the newest by another version until it has scored; the command says
    which. A running service follows within --refresh seconds of clout serve and the time to load, 6 seconds by
    default. The next `clout score` and `clout train` use this version and its scale. A version that has not passed its
    gate needs --force REASON.

    Example: clout promote 2
    """
    from training.release.promotion import promote

    folder = home_from_environment(home)
    print_promotion(promote(folder, version, force))
    print_served(folder, version)


def print_served(home: Home, champion: str) -> None:
    """Print which scores are served under a champion, and what to run where they are not its newest."""
    from features.utc import to_iso_utc
    from serving.snapshots.layout import age_order
    from serving.snapshots.repository import list_snapshots, served_folder, served_otherwise

    folders = list_snapshots(home)
    if not folders:
        print_commands("There are no scores yet. Next:", {home.command("score EVENTS"): ""})
    elif detail := served_otherwise(home, folders, champion):
        warn(detail)
    else:
        as_of = to_iso_utc(age_order(served_folder(folders, champion))[0])
        print_message(f"The scores as of {as_of} by version {champion} are served.")
