"""Access: who may ask, how much, how fast, and how what they send is held to limits."""
