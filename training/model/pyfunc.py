"""What MLflow loads: `mlflow.pyfunc.load_model` and `mlflow models serve` answer through this."""

from pathlib import Path

import pandas as pd

from training.model.bundle import Bundle, load_bundle


class ServedModel:
    """A bundle behind MLflow's pyfunc contract."""

    def __init__(self, bundle: Bundle):
        self.bundle = bundle

    def predict(self, model_input: pd.DataFrame, params: dict | None = None) -> pd.DataFrame:  # noqa: ARG002
        """Score feature rows; see `Bundle.predict`."""
        return self.bundle.predict(model_input)


def _load_pyfunc(data_path: str) -> ServedModel:
    """Load the bundle that lies in the model; the name is MLflow's."""
    return ServedModel(load_bundle(Path(data_path)))
