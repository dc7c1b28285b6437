"""The event table, its engines, scopes, identities, encoded form, store, exclusions and erasure."""
