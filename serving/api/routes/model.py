"""The champion and the feature catalogue."""

import math
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from features.catalogue import CATALOGUE
from serving.api import examples
from serving.api.dependencies import READ, ServiceDependency
from serving.api.examples import MODEL, answered
from serving.api.problems import problems
from serving.api.schemas import Catalogue, CatalogueEntry, Model

router = APIRouter(prefix="/v1", tags=["model"])


@router.get("/model", dependencies=[READ], responses=answered(MODEL) | problems(unfit_features=422, no_model=503))
async def model(service: ServiceDependency) -> Model:
    """Return what the champion is: its scale, intervals, training facts and out-of-time figures."""
    champion = service.champion
    bundle = champion.bundle
    return Model(
        model_version=champion.version,
        horizon_days=bundle.horizon_days,
        catalogue=bundle.facts["catalogue"],
        features=list(bundle.features),
        scale=asdict(bundle.scale),
        interval=asdict(bundle.intervals),
        facts=_finite({name: fact for name, fact in bundle.facts.items() if name != "reference"}),
        figures=_finite(_without_gate(champion.figures)),
    )


@router.get("/catalogue", dependencies=[READ], responses=answered(examples.catalogue()) | problems())
async def catalogue() -> Catalogue:
    """Return every feature: its unit, meaning, direction and the sentence that a reviewer reads."""
    entries = [CatalogueEntry(**{key: getattr(f, key) for key in CatalogueEntry.model_fields}) for f in CATALOGUE]
    return Catalogue(catalogue=CATALOGUE.fingerprint, features=entries)


def _without_gate(figures: dict | None) -> dict | None:
    """Leave out the gate's report, which names single users."""
    return None if figures is None else {name: held for name, held in figures.items() if name != "gate"}


def _finite(held: Any) -> Any:
    """Put null in the place of numbers that JSON cannot tell."""
    if isinstance(held, dict):
        return {key: _finite(value) for key, value in held.items()}
    if isinstance(held, list | tuple):
        return [_finite(value) for value in held]
    return None if isinstance(held, float) and not math.isfinite(held) else held
