"""Explanation: why a score is what it is, why it changed, what would change it."""
