"""From features to a model: panel, fit, evaluation, explanation, bundle, registry."""
