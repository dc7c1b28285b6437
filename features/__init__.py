"""From activity to features: events, their sources and simulation, and the one feature table."""
