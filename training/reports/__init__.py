"""Plots: of the evaluation, the score, the global view and attacks."""
