"""The commands about API keys: add, list, remove."""

from enum import StrEnum
from typing import Annotated

import typer

from features.cli_options import HomeFolder, Json
from features.console import print_json, print_message, print_table
from training.home import home_from_environment

keys = typer.Typer(no_args_is_help=True, help="Make, list and remove the API keys of the service.")
Name = Annotated[str, typer.Argument(help="Whose key it is; letters, digits, dots, dashes, underscores.")]


class KeyScope(StrEnum):
    """What a key is good for; each holds those before it."""

    read = "read"
    review = "review"
    admin = "admin"


@keys.command()
def add(
    name: Name,
    scope: Annotated[
        KeyScope, typer.Option(help="read: scores, model, catalogue; review: explanations, changes, what-ifs as well.")
    ],
    home: HomeFolder = None,
) -> None:
    """Make a key and print it, once: only its hash is kept. A service that runs takes it at once.

    To change a key without a pause, add a second one, move the callers to it, then remove the first.

    Example: clout keys add dashboard --scope read
    """
    from serving.middleware.api_keys import add_key

    key = add_key(home_from_environment(home), name, scope.value)
    typer.echo(key)
    print_message(f"The key {name!r} with scope {scope}, shown this once. Send it as 'Authorization: Bearer KEY'.")


@keys.command(name="list")
def list_keys(home: HomeFolder = None, json: Json = False) -> None:
    """List the keys: their names, scopes and public ids, never the keys themselves.

    Example: clout keys list
    """
    from serving.middleware.api_keys import read_keys

    held = sorted(read_keys(home_from_environment(home)).values(), key=lambda key: key.name)
    if json:
        print_json([{"name": key.name, "scope": key.scope, "id": key.id, "made": key.made} for key in held])
    elif held:
        print_table(
            "API keys", ["name", "scope", "id", "made"], [[k.name, k.scope, k.id, k.made] for k in held], text_columns=4
        )
    else:
        print_message("There are no API keys: the service answers on loopback addresses alone. See clout keys add.")


@keys.command()
def remove(name: Name, home: HomeFolder = None) -> None:
    """Remove a key: a service that runs refuses it at once.

    Example: clout keys remove dashboard
    """
    from serving.middleware.api_keys import remove_key

    remove_key(home_from_environment(home), name)
    print_message(f"The key {name!r} is removed.")
