"""The registered versions of the model: when and on what each was trained, its figures, and what became of it."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from features.utc import UtcText, to_iso_utc
from training.home import Home
from training.registry.mlflow_session import is_new, mlflow_session
from training.registry.model_registry import FORCED_TAG, GATE_TAG, MODEL, PROMOTED_TAG

FIGURES = ("auc", "ndcg_100", "r2_log", "total", "coverage")
TRAINED_ON = (
    "rows",
    "catalogue",
    "events",
    "events_first",
    "events_last",
    "events_digest",
    "clout_version",
    "clout_commit",
)


@dataclass(frozen=True)
class RegisteredVersion:
    """A registered version of the model.

    Parameters
    ----------
    version : its number
    registered : when
    as_of : the end of its training; None where its run does not say
    aliases : such as champion
    gate : passed or failed; None where it was not judged
    promoted, forced : when it last became the champion and from which version, and why although its gate failed
    released : whether it is the champion, or was
    figures : the out-of-time figures of FIGURES that its run has
    trained_on : rows, events, their span and digest, the catalogue, and the version and commit of the project
    run : id of its MLflow run

    """

    version: str
    registered: UtcText
    as_of: str | None
    aliases: tuple[str, ...]
    gate: str | None
    promoted: str | None
    forced: str | None
    released: bool
    figures: dict[str, float]
    trained_on: dict[str, str]
    run: str | None


def list_versions(home: Home) -> list[RegisteredVersion]:
    """Return all registered versions, newest first.

    Raises
    ------
    RegistryError : the registry cannot be reached

    """
    if is_new(home):
        return []
    with mlflow_session(home) as mlflow:
        client = mlflow.MlflowClient()
        rows = client.search_model_versions(f"name = '{MODEL}'")
        aliases = defaultdict(list)
        if rows:
            for alias, version in sorted(client.get_registered_model(MODEL).aliases.items()):
                aliases[str(version)].append(alias)
        ordered = sorted(rows, key=lambda row: int(row.version), reverse=True)
        return [_describe(row, tuple(aliases[str(row.version)]), _run_data(client, row.run_id)) for row in ordered]


def _run_data(client: Any, run: str | None) -> tuple[dict[str, str], dict[str, float]]:
    """Return the parameters and metrics of a run; nothing where it was deleted."""
    from mlflow.exceptions import MlflowException

    try:
        data = client.get_run(run).data
    except MlflowException:
        return {}, {}
    return dict(data.params), dict(data.metrics)


def _describe(row: Any, aliases: tuple[str, ...], run: tuple[dict[str, str], dict[str, float]]) -> RegisteredVersion:
    tags, (params, metrics) = row.tags, run
    return RegisteredVersion(
        version=str(row.version),
        registered=to_iso_utc(datetime.fromtimestamp(row.creation_timestamp // 1000, UTC)),
        as_of=params.get("as_of"),
        aliases=aliases,
        gate=tags.get(GATE_TAG),
        promoted=tags.get(PROMOTED_TAG),
        forced=tags.get(FORCED_TAG),
        released=PROMOTED_TAG in tags or "champion" in aliases,
        figures={name: metrics[f"score.{name}"] for name in FIGURES if f"score.{name}" in metrics},
        trained_on={name: params[name] for name in TRAINED_ON if name in params},
        run=row.run_id or None,
    )
