"""What a deletion leaves: the models that were made before, and what of somebody they still hold."""

from collections.abc import Collection, Iterator
from typing import Any

from features.errors import CloutError
from training.home import Home
from training.registry.model_registry import load_version, versions
from training.registry.run_documents import report

AGGREGATES = (
    "What is typical among peers, and the scores and percentiles of others, stay as they were published: the person "
    "counted among those they were computed from. The next 'clout score' computes them without the person."
)
NO_EVENTS = (
    "No events were given: their files still hold what the person did and what others did to them. Every run leaves it "
    "out; 'clout forget USER --events EVENTS' removes it."
)
PIECES = (
    "Ids of pieces (the columns object and result) stay as they are where others acted on them; a source that writes "
    "ids of people into those, as Bluesky does, leaves them there. Rejected rows, in EVENTS.rejects.csv, stay too."
)
COPIES = (
    "Scores and points written to files with --out and --points, backups, and what callers kept are not known here."
)


def remains(home: Home, ids: Collection[str], events: bool) -> list[str]:
    """Say what is kept of somebody after a deletion, a sentence or a few each.

    Parameters
    ----------
    home : whose models
    ids : the person's, to be looked for in what is logged with each version
    events : whether events were cleared

    """
    try:
        made = list(versions(home))
    except CloutError as error:
        return [f"The registry could not be asked what its models hold: {error}", *_always(events)]
    told = [_models(made)] if made else ["No model is registered."]
    return [*told, *(sentence for version in made for sentence in _named(home, version, ids)), *_always(events)]


def _always(events: bool) -> list[str]:
    return [AGGREGATES, PIECES if events else NO_EVENTS, COPIES]


def _models(made: list[str]) -> str:
    named = ", ".join(made)
    return (
        f"The registered model versions ({named}) may have learnt from the person's rows among everybody's: their "
        "trees, scale, intervals and reference are aggregates that hold no ids and give no row back; they are not "
        "changed. Train again on events without the person, promote that version, and delete these with MLflow."
    )


def _named(home: Home, version: str, ids: Collection[str]) -> Iterator[str]:
    """Say where a version names somebody: its seeds of credibility and its report are all that hold ids."""
    try:
        if set(load_version(home, version, check_catalogue=False).seeds) & set(ids):
            yield (
                f"Version {version} names the person among its seeds of credibility (in its bundle.json, in the run's "
                "parameters and report.json): take them out of clout.toml, train again, and delete that version."
            )
        if set(_texts(_without_config(report(home, version)))) & set(ids):
            yield (
                f"The gate of version {version} names the person among those who moved furthest (gate.md and "
                "report.json of its run): delete that version and its run with MLflow."
            )
    except CloutError as error:
        yield f"What version {version} holds could not be read: {error}"


def _without_config(told: dict | None) -> dict:
    return {name: held for name, held in (told or {}).items() if name != "config"}


def _texts(told: Any) -> Iterator[str]:
    """Yield every text in a JSON document."""
    if isinstance(told, str):
        yield told
    elif isinstance(told, dict):
        for held in told.values():
            yield from _texts(held)
    elif isinstance(told, list):
        for held in told:
            yield from _texts(held)
