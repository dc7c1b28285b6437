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
from training.model.chance import Chance
from training.model.earlier_intervals import EarlierIntervals, read_earlier_intervals
from training.model.intervals import IntervalInput, IntervalPart, Intervals
from training.model.scale import Scale

BOOSTER_FILE, BOUNDED_FILE = "booster.txt", "bounded.txt"
END_FILES = ("low.txt", "high.txt")  # of models of earlier versions
FACTS_FILE = "bundle.json"

# Bundles in use, by the digest of `bundle.json`, which contains the digests of the boosters.
IN_USE: WeakValueDictionary[str, Bundle] = WeakValueDictionary()


def save_bundle(bundle: Bundle, folder: Path) -> None:
    """Write `bundle.json` and the boosters beside it into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {BOOSTER_FILE: bundle.booster_text}
    if bundle.bounded:
        texts[BOUNDED_FILE] = bundle.bounded.booster_text
    if isinstance(bundle.intervals, EarlierIntervals):
        texts |= zip(END_FILES, (bundle.intervals.low_text, bundle.intervals.high_text), strict=True)
    for name, text in texts.items():
        (folder / name).write_text(text)
    document = {
        "features": bundle.features,
        "horizon_days": bundle.horizon_days,
        "facts": bundle.facts,
        "scale": asdict(bundle.scale),
        "intervals": bundle.intervals.as_json(),
        "sha256": {name: _digest(text) for name, text in texts.items()},
        **({"bound": bundle.bounded.limit} if bundle.bounded else {}),
        **({"chance": asdict(bundle.chance)} if bundle.chance else {}),
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
        texts = _booster_texts(folder, document.pop("sha256"))
        limit = document.pop("bound", None)
        if BOUNDED_FILE in texts:
            document["bounded"] = BoundedTerm(texts[BOUNDED_FILE], float(limit))
        if "chance" in document:
            document["chance"] = Chance(**document["chance"])
        document["scale"] = Scale(**document["scale"])
        document["intervals"] = _intervals(document["intervals"], texts)
        bundle = Bundle(booster_text=texts[BOOSTER_FILE], **document)
        return IN_USE.setdefault(_digest(text), bundle)
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise RegistryError(
            f"no complete bundle at {folder} ({error!r}); expected {BOOSTER_FILE} and {FACTS_FILE}. Train "
            "again with 'clout train', or restore the folder."
        ) from error


def _intervals(document: dict[str, Any], texts: dict[str, str]) -> Intervals:
    if "parts" not in document:
        return read_earlier_intervals(document, *(texts[name] for name in END_FILES))
    parts = (
        IntervalPart(**part | {"inputs": tuple(IntervalInput(**one) for one in part["inputs"])})
        for part in document["parts"]
    )
    return Intervals(document["level"], tuple(parts))


def _booster_texts(folder: Path, digests: dict[str, str]) -> dict[str, str]:
    """Read the boosters by the names of their files, and compare their checksums."""
    texts = {}
    for name in (BOOSTER_FILE, *(other for other in (BOUNDED_FILE, *END_FILES) if other in digests)):
        texts[name] = (folder / name).read_text()
        if _digest(texts[name]) != digests[name]:
            raise ValueError(f"{name} was changed or cut off after it was written")
    return texts


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
