"""Robustness: simulated attacks."""
