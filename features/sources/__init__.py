"""Sources: each module turns activity from somewhere into the event table, through the one door."""
