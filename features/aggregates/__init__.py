"""The intermediate tables that features are computed from."""
