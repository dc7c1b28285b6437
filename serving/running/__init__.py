"""Running: the state a service answers from, renewed while it answers, with its log and metrics."""
