"""Algorithms over LightGBM trees."""
