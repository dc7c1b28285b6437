"""Release: the gate and promotion."""
