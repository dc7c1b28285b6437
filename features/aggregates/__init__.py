"""Aggregates: the intermediate tables that features are computed from."""
