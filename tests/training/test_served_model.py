"""Model versions that name the former loader module still load in MLflow."""

import mlflow
import pandas as pd
import pytest

from features.errors import CatalogueError
from training.model.bundle_files import save_bundle
from training.served_model import ServedModel


def test_mlflow_loads_a_model_of_the_former_loader_module(bundle, rows, tmp_path):
    save_bundle(bundle, tmp_path / "bundle")
    mlflow.pyfunc.save_model(
        tmp_path / "model",
        loader_module="training.served_model",
        data_path=str(tmp_path / "bundle"),
        pip_requirements=[],
    )
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    pd.testing.assert_frame_equal(model.predict(rows), bundle.predict(rows))


@pytest.mark.parametrize("frame", [pd.DataFrame(), pd.DataFrame({"ACTS_28D": [1.0]})])
def test_rows_without_the_features_are_refused_by_name(bundle, frame):
    with pytest.raises(CatalogueError, match=f"the rows lack .* features: {next(iter(bundle.features))}"):
        ServedModel(bundle).predict(frame)
