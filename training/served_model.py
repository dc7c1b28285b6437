"""The loader that model versions registered before the move to `training.model.pyfunc` name for MLflow.

Their `loader_module` is `training.served_model`; without this module `mlflow models serve` could not load them.
"""

from training.model.pyfunc import _load_pyfunc as _load_pyfunc
