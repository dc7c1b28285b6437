"""Bundle files: a bundle saved as text and JSON in a folder, and read again, without pickle."""

import json
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from features.errors import RegistryError
from training.model.bounded_term import BoundedTerm
from training.model.bundle import Bundle, check_catalogue
from training.model.intervals import Intervals, Knot, Quantiles
from training.model.scale import Scale

BOOSTER_FILES = ("booster.txt", "low.txt", "high.txt")
BOUNDED_FILE = "bounded.txt"
FACTS_FILE = "bundle.json"

# Bundles in use, by the digest of `bundle.json`, which contains the digests of the boosters.
IN_USE: WeakValueDictionary[str, Bundle] = WeakValueDictionary()


def save_bundle(bundle: Bundle, folder: Path) -> None:
    """Write `bundle.json` and the boosters beside it into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = dict(
        zip(BOOSTER_FILES, (bundle.booster_text, bundle.quantiles.low_text, bundle.quantiles.high_text), strict=True)
    )
    if bundle.bounded:
        texts[BOUNDED_FILE] = bundle.bounded.booster_text
    for name, text in texts.items():
        (folder / name).write_text(text)
    document = {
        "features": bundle.features,
        "horizon_days": bundle.horizon_days,
        "facts": bundle.facts,
        "scale": asdict(bundle.scale),
        "intervals": asdict(bundle.intervals),
        "sha256": {name: _digest(text) for name, text in texts.items()},
        **({"bound": bundle.bounded.limit} if bundle.bounded else {}),
    }
    (folder / FACTS_FILE).write_text(json.dumps(document, indent=1) + "\n")


def load_bundle(folder: Path) -> Bundle:
    """Read a bundle and compare its features with the installed catalogue.

    Raises
    ------
    RegistryError : the files are absent or damaged
    CatalogueError : a feature is absent from the catalogue or is defined differently there

    """
    bundle = read_bundle(folder)
    check_catalogue(bundle)
    return bundle


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle and verify its checksums: LightGBM ends the whole process over a truncated booster.

    Returns
    -------
    the bundle; if one of the same files is in use, that object, with everything that it has cached

    Raises
    ------
    RegistryError : the files are absent or damaged

    """
    try:
        text = (folder / FACTS_FILE).read_text()
        document = json.loads(text)
        booster, low, high, *bounded = _booster_texts(folder, document.pop("sha256"))
        limit = document.pop("bound", None)
        if bounded:
            document["bounded"] = BoundedTerm(bounded[0], float(limit))
        document["scale"] = Scale(**document["scale"])
        document["intervals"] = _intervals(document["intervals"])
        bundle = Bundle(booster_text=booster, quantiles=Quantiles(low, high), **document)
        return IN_USE.setdefault(_digest(text), bundle)
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise RegistryError(
            f"no complete bundle at {folder} ({error!r}); expected {', '.join(BOOSTER_FILES)} and {FACTS_FILE}. Train "
            "again with 'clout train', or restore the folder."
        ) from error


def _intervals(document: dict[str, Any]) -> Intervals:
    """Read the calibration; that of an earlier version has bands with one margin for both ends."""
    if "bands" in document:
        knots = (Knot(band["edge"], -band["margin"], band["margin"]) for band in document["bands"])
        return Intervals(document["level"], tuple(knots), relative=False)
    return Intervals(**document | {"knots": tuple(Knot(**knot) for knot in document["knots"])})


def _booster_texts(folder: Path, digests: dict[str, str]) -> list[str]:
    """Read the boosters and compare their checksums."""
    texts = []
    for name in (*BOOSTER_FILES, *([BOUNDED_FILE] if BOUNDED_FILE in digests else [])):
        texts.append((folder / name).read_text())
        if _digest(texts[-1]) != digests[name]:
            raise ValueError(f"{name} was changed or cut off after it was written")
    return texts


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
