"""The commands of the service: answer requests, API keys, and the demo."""

import gc
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from features.cli_options import Database, HomeFolder, Json
from features.console import print_commands, print_json, print_message, print_table
from training.home import Home, existing_home, home_from_environment


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Requests per second per API key, or per address without keys; 0: unlimited. "
            "Default: 200 per key, unlimited without keys.",
        ),
    ] = None,
    refresh: Annotated[float, typer.Option(help="Seconds between checks for a newer champion or snapshot.")] = 5.0,
    demand_purpose: Annotated[
        bool, typer.Option(help="Refuse requests about users without a purpose in the header Clout-Purpose.")
    ] = False,
    allow_purpose: Annotated[
        list[str] | None,
        typer.Option(
            help="A purpose that requests may name; may be given again. Default: those of CLOUT_PURPOSES, separated by "
            "commas, else the built-in list."
        ),
    ] = None,
    root_path: Annotated[
        str, typer.Option(help="The path under which a proxy serves, such as /clout; else as in X-Forwarded-Prefix.")
    ] = "",
    forwarded_allow_ips: Annotated[
        str,
        typer.Option(
            envvar="FORWARDED_ALLOW_IPS",
            help="Addresses and networks of proxies whose X-Forwarded-* headers count, separated by commas; *: any.",
        ),
    ] = "127.0.0.1,::1",
    workers: Annotated[int, typer.Option(help="Number of worker processes, such as one per core.")] = 1,
    events: Annotated[
        Path | None, typer.Option(help="The events that were scored: a user's page then shows the posts behind it.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Check what a start needs, report what is missing, and exit.")
    ] = False,
    database: Database = None,
    home: HomeFolder = None,
    json: Json = False,
) -> None:
    """Serve scores and explanations over HTTP: pages for reviewers at /, the API documentation at /docs.

    A loopback address needs no API keys; any other address refuses to start without them: see clout keys.

    Example: clout serve --port 8000
    """
    host = host.removeprefix("[").removesuffix("]")
    if check:
        raise typer.Exit(_print_check(home_from_environment(home, database), host, port, events, json))
    folder = _service_home(home, database)
    gc.disable()  # objects created at startup stay alive: collecting among them takes a sixth of the startup time
    try:
        from serving.app import serve
        from serving.middleware.proxy import Proxy
        from serving.middleware.request_limits import Limits
        from serving.privacy.purposes import purpose_policy

        policy, proxy = purpose_policy(demand_purpose, allow_purpose), Proxy(root_path, forwarded_allow_ips)
        serve(folder, host, port, Limits(rate), refresh, policy, workers, proxy, events, _print_address)
    finally:
        gc.enable()


def _service_home(home: Path | None, database: str | None = None) -> Home:
    """Return the home of a service: one that --home names has to exist, while the environment may name a new one."""
    return home_from_environment(database=database) if home is None else existing_home(home, database=database)


def _print_address(address: str) -> None:
    print_message(f"Pages for reviewers: {address}, API documentation: {address}/docs (stop with Ctrl-C)")


def _print_check(home: Home, host: str, port: int, events: Path | None, json: bool) -> int:
    """Print what a start would find and return the exit code: 2 if anything is missing."""
    from serving.runtime.startup_check import check_start

    findings = check_start(home, host, port, events)
    if json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            typer.echo(f"{'ok     ' if finding.holds else 'MISSING'} {finding.message}")
    return 0 if all(finding.holds for finding in findings) else 2


def demo(
    users: Annotated[int, typer.Option(help="Number of simulated users.")] = 6_000,
    days: Annotated[
        int, typer.Option(min=154, help="Number of simulated days: 70 to train on, and 84 whose outcome is compared.")
    ] = 420,
    seed: Annotated[int, typer.Option(help="The same seed gives the same demo.")] = 0,
    home: HomeFolder = None,
) -> None:
    """Simulate a community, train, score and explain, then print the next commands to try.

    Example: clout demo
    """
    from serving.cli.demo import demo

    demo(home_from_environment(home), users, days, seed)


keys = typer.Typer(no_args_is_help=True, help="Make, list and remove the API keys of the service.")
Name = Annotated[str, typer.Argument(help="Name of the key's owner; letters, digits, dots, dashes, underscores.")]


@keys.command()
def add(
    name: Name,
    scope: Annotated[
        Literal["read", "review", "admin"],
        typer.Option(
            help="read: scores, model, catalogue; review: also explanations, changes, what-ifs and cases; "
            "admin: everything."
        ),
    ],
    home: HomeFolder = None,
) -> None:
    """Make a key and print it, once: only its hash is stored. A running service accepts it at once.

    To change a key without an interruption, add a second one, move the callers to it, then remove the first.

    Example: clout keys add dashboard --scope read
    """
    from serving.middleware.api_keys import add_key

    key = add_key(_service_home(home), name, scope)
    typer.echo(key)
    print_message(f"The key {name!r} with scope {scope}, shown this once. Send it as 'Authorization: Bearer KEY'.")


@keys.command(name="list")
def list_keys(home: HomeFolder = None, json: Json = False) -> None:
    """List the keys: their names, scopes and public ids, never the keys themselves.

    Example: clout keys list
    """
    from serving.middleware.api_keys import read_keys

    folder = existing_home(home)
    stored = sorted(read_keys(folder).values(), key=lambda key: key.name)
    rows = [[key.name, str(key.scope), key.id, key.made] for key in stored]
    columns = ["name", "scope", "id", "made"]
    if json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    elif rows:
        print_table("API keys", columns, rows, text_columns=4)
    else:
        print_commands(
            "There are no API keys: the service answers on loopback addresses only. To make one:",
            {folder.command("keys add NAME --scope read"): ""},
        )


@keys.command()
def remove(name: Name, home: HomeFolder = None) -> None:
    """Remove a key: a running service refuses it at once.

    Example: clout keys remove dashboard
    """
    from serving.middleware.api_keys import remove_key

    remove_key(existing_home(home), name)
    print_message(f"The key {name!r} is removed.")
