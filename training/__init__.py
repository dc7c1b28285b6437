"""Training: dataset, model, evaluation, explanation, registry and release."""
