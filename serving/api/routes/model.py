"""The champion and the feature catalogue."""

import math
from typing import Any

from fastapi import APIRouter

from features.catalogue import CATALOGUE
from features.catalogue.feature import Feature
from serving.api import examples
from serving.api.dependencies import READ, ServiceDependency
from serving.api.examples import MODEL, success
from serving.api.fast_routes import ServiceRoute
from serving.api.problems import problems
from serving.api.schemas import Catalogue, CatalogueEntry, Model

router = APIRouter(prefix="/v1", tags=["model"], route_class=ServiceRoute)


@router.get(
    "/model", operation_id="get_model", dependencies=[READ], responses=success(MODEL) | problems(422, no_model=503)
)
async def model(service: ServiceDependency) -> Model:
    """Return the champion: its scale, intervals, training facts and out-of-time figures."""
    champion = service.champion
    bundle = champion.bundle
    return Model(
        model_version=champion.version,
        horizon_days=bundle.horizon_days,
        catalogue=bundle.facts["catalogue"],
        features=list(bundle.features),
        scale=bundle.scale,
        intervals=bundle.intervals,
        facts=_finite({name: fact for name, fact in bundle.facts.items() if name != "reference"}),
        figures=_finite(_without_gate(champion.figures)),
    )


@router.get(
    "/catalogue",
    operation_id="get_catalogue",
    dependencies=[READ],
    responses=success(examples.catalogue()) | problems(422),
)
async def catalogue() -> Catalogue:
    """Return every feature: its unit, meaning, direction and the sentence shown to reviewers."""
    return Catalogue(catalogue=CATALOGUE.fingerprint, features=[_entry(feature) for feature in CATALOGUE])


def _entry(feature: Feature) -> CatalogueEntry:
    names = CatalogueEntry.model_fields.keys() - {"sentence"}
    return CatalogueEntry(**{name: getattr(feature, name) for name in names}, sentence=feature.example_sentence)


def _without_gate(figures: dict[str, Any] | None) -> dict[str, Any] | None:
    """Leave out the gate's report, which names single users."""
    return None if figures is None else {name: value for name, value in figures.items() if name != "gate"}


def _finite(value: Any) -> Any:
    """Replace numbers that JSON cannot represent by null, at any depth."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
