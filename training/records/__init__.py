"""Records: the database of people's requests."""
