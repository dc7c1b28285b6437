"""The `clout` command."""
