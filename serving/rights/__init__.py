"""Rights: who is not shown, what a deletion removes and what it tells."""
