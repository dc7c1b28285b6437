"""Serving: batch scoring, snapshots of scores, the HTTP service and the `clout` command."""
