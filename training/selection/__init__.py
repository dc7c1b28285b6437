"""Select groups of users who together are expected to reach the most different people."""
