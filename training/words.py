"""Words: what stands in a picture for a feature's name."""

import re

from features.catalogue import CATALOGUE
from training.reasons import subject

WINDOW = {"d": "days", "w": "weeks"}


def label(feature: str) -> str:
    """Return a short label: `credible_engagers_decayed_28d` is `credible engagers, decayed, 28 days`."""
    counted = re.sub("_days$", ", days", subject(feature))
    window = re.sub(r"(\d+)([dw])$", lambda found: f"{found[1]} {WINDOW[found[2]]}", feature[len(subject(feature)) :])
    return ", ".join(part for part in (counted.replace("_", " "), *window.split("_")) if part)


def meaning(feature: str) -> str:
    """Return what the catalogue says that a feature is, up to the first semicolon; its name where it is not there."""
    return CATALOGUE[feature].meaning.partition(";")[0] if feature in CATALOGUE else label(feature)


def is_share(feature: str) -> bool:
    """Tell whether a feature is a share, told in percent."""
    return feature in CATALOGUE and CATALOGUE[feature].unit == "share"
