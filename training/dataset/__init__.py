"""The training panel and its label."""
