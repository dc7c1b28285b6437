"""Routes: one module for each kind of answer."""
