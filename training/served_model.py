"""MLflow loader: `mlflow.pyfunc.load_model` and `mlflow models serve` load and predict through this module.

Registered model versions name it as their `loader_module`: a move would make them unusable for MLflow.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from features.errors import CatalogueError
from training.model.bundle import Bundle
from training.model.bundle_files import load_bundle


class UnscorableRowsError(CatalogueError, MlflowException):
    """Rows lack features; MLflow's server answers the messages of its own exceptions only."""


class ServedModel:
    """A bundle behind MLflow's pyfunc contract."""

    def __init__(self, bundle: Bundle):
        self.bundle = bundle

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        """Score feature rows; see `Bundle.predict`.

        Raises
        ------
        UnscorableRowsError : a feature is missing; MLflow drops all columns where none has a known name

        """
        try:
            self.bundle.matrix(model_input)
        except CatalogueError as error:
            raise UnscorableRowsError(str(error), INVALID_PARAMETER_VALUE) from error
        return self.bundle.predict(model_input)


def _load_pyfunc(data_path: str) -> ServedModel:
    """Load the bundle in the model's data folder; MLflow defines the function's name."""
    return ServedModel(load_bundle(Path(data_path)))
