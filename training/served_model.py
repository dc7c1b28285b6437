"""MLflow loader: `mlflow.pyfunc.load_model` and `mlflow models serve` load and predict through this module.

Registered model versions name it as their `loader_module`: a move would make them unusable for MLflow.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from training.model.bundle import Bundle
from training.model.bundle_files import load_bundle


class ServedModel:
    """A bundle behind MLflow's pyfunc contract."""

    def __init__(self, bundle: Bundle):
        self.bundle = bundle

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        """Score feature rows; see `Bundle.predict`.

        Raises
        ------
        CatalogueError : a feature is missing; MLflow passes on neither rows nor columns where none has a known name

        """
        self.bundle.matrix(model_input)
        return self.bundle.predict(model_input)


def _load_pyfunc(data_path: str) -> ServedModel:
    """Load the bundle in the model's data folder; MLflow defines the function's name."""
    return ServedModel(load_bundle(Path(data_path)))
