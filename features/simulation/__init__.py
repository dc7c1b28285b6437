"""Simulated communities with known ground truth: seeded, of any size, written as Parquet in bounded memory."""

from features.simulation.community import Community, Summary
from features.simulation.simulate import simulate

__all__ = ["Community", "Summary", "simulate"]
