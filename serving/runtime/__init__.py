"""The running process: state, reload, workers, metrics."""
