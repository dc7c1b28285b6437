"""Select groups of users from a snapshot, or from events, and describe what each group is expected to reach."""
