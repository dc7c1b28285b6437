"""From a model to answers: snapshots of scores, the service and the command."""
