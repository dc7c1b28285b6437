"""Review: what reviewers ask beyond a single explanation."""
