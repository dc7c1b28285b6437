"""The MLflow registry; no other package imports mlflow."""
