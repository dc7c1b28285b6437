"""Privacy: purposes, audit log, cases and deletion."""
