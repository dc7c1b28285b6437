"""Evaluation: metrics, baselines, slices."""
