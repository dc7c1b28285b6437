"""Reviewing: what became of a score, what would change it and why, in forms and on the terminal."""
