"""From activity to features: the event table, importers, simulation and the feature table."""
