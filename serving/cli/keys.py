"""The commands for API keys: add, list, remove."""

from typing import Annotated, Literal

import typer

from features.cli_options import HomeFolder, Json
from features.console import print_json, print_message, print_table
from training.home import home_from_environment

keys = typer.Typer(no_args_is_help=True, help="Make, list and remove the API keys of the service.")
Name = Annotated[str, typer.Argument(help="Name of the key's owner; letters, digits, dots, dashes, underscores.")]


@keys.command()
def add(
    name: Name,
    scope: Annotated[
        Literal["read", "review", "admin"],
        typer.Option(help="read: scores, model, catalogue; review: explanations, changes, what-ifs as well."),
    ],
    home: HomeFolder = None,
) -> None:
    """Make a key and print it, once: only its hash is stored. A running service accepts it at once.

    To change a key without an interruption, add a second one, move the callers to it, then remove the first.

    Example: clout keys add dashboard --scope read
    """
    from serving.middleware.api_keys import add_key

    key = add_key(home_from_environment(home), name, scope)
    typer.echo(key)
    print_message(f"The key {name!r} with scope {scope}, shown this once. Send it as 'Authorization: Bearer KEY'.")


@keys.command(name="list")
def list_keys(home: HomeFolder = None, json: Json = False) -> None:
    """List the keys: their names, scopes and public ids, never the keys themselves.

    Example: clout keys list
    """
    from serving.middleware.api_keys import read_keys

    stored = sorted(read_keys(home_from_environment(home)).values(), key=lambda key: key.name)
    rows = [[key.name, str(key.scope), key.id, key.made] for key in stored]
    columns = ["name", "scope", "id", "made"]
    if json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    elif rows:
        print_table("API keys", columns, rows, text_columns=4)
    else:
        print_message("There are no API keys: the service answers on loopback addresses only. See clout keys add.")


@keys.command()
def remove(name: Name, home: HomeFolder = None) -> None:
    """Remove a key: a running service refuses it at once.

    Example: clout keys remove dashboard
    """
    from serving.middleware.api_keys import remove_key

    remove_key(home_from_environment(home), name)
    print_message(f"The key {name!r} is removed.")
