"""Snapshots: the scores of one instant, written, opened, searched, shared and erased."""
