"""The HTTP contract: schemas, examples, problems and dependencies of routes."""
