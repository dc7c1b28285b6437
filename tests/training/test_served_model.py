"""Model versions that name the former loader module still load in MLflow."""

import mlflow
import pandas as pd

from training.model.bundle_files import save_bundle


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
