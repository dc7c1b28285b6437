"""The reviewers' pages: HTML over the same services, keys, purposes and audit as the API."""
