"""Importers: one module per source; each maps its input to the event table."""
