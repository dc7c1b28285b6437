"""Snapshots: everybody's scores at one instant, as kept, found, searched and explained."""
