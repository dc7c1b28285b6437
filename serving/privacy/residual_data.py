"""What remains after a deletion: registered models, and which of them still name the user."""

from collections.abc import Collection, Iterator
from typing import Any

from features.errors import CloutError
from training.home import Home
from training.registry.model_registry import load_version, versions
from training.registry.run_documents import report

AGGREGATES = (
    "Typical values of peers, and the scores and percentiles of others, stay as published: the user counted "
    "among those they were computed from. The next 'clout score' computes them without the user."
)
NO_EVENTS = (
    "No events were given: their files still hold what the user did and what others did to the user. Every run "
    "excludes it; 'clout forget USER --events EVENTS' removes it."
)
OBJECT_IDS = (
    "Ids of objects (the columns object and result) stay where others acted on them; a source that writes ids of users "
    "into those, as Bluesky does, leaves them there. Rejected rows, in EVENTS.rejects.csv, stay too."
)
COPIES = "Files written with --out and --points, backups, and copies that callers made are not known here."


def residual_data(home: Home, ids: Collection[str], events: bool) -> list[str]:
    """Describe what remains of a user after a deletion, in one or a few sentences per item.

    Parameters
    ----------
    home : the home with the models
    ids : the user's ids, searched for in what is logged with each version
    events : whether events were cleared

    """
    always = [AGGREGATES, OBJECT_IDS if events else NO_EVENTS, COPIES]
    try:
        registered = list(versions(home))
    except CloutError as error:
        return [f"The registry could not be searched: {error}", *always]
    models = [_models(registered)] if registered else ["No model is registered."]
    mentions = [sentence for version in registered for sentence in _mentions(home, version, ids)]
    return [*models, *mentions, *always]


def _models(registered: list[str]) -> str:
    return (
        f"The registered model versions ({', '.join(registered)}) may have learnt from the user's rows among all rows: "
        "their trees, scale, intervals and reference are aggregates that contain no ids and cannot give a row back; "
        "they are not changed. Train again on events without the user, promote that version, and delete these with "
        "MLflow."
    )


def _mentions(home: Home, version: str, ids: Collection[str]) -> Iterator[str]:
    """Describe where a version names a user: only its credibility seeds and its report contain ids."""
    try:
        if set(load_version(home, version, check_catalogue=False).seeds) & set(ids):
            yield (
                f"Version {version} names the user among its credibility seeds (in its bundle.json, in the run's "
                "parameters and report.json): remove them from clout.toml, train again, and delete that version."
            )
        if set(_texts(_without_config(report(home, version)))) & set(ids):
            yield (
                f"The gate of version {version} names the user among those who moved furthest (gate.md and "
                "report.json of its run): delete that version and its run with MLflow."
            )
    except CloutError as error:
        yield f"Version {version} could not be searched: {error}"


def _without_config(document: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (document or {}).items() if name != "config"}


def _texts(document: Any) -> Iterator[str]:
    """Yield every text in a JSON document."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, (dict, list)):
        for item in document.values() if isinstance(document, dict) else document:
            yield from _texts(item)
