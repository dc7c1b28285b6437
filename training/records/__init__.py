"""Records: the database of opt-outs, deletions and contested scores."""
