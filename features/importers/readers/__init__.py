"""Readers: file formats, independent of the source."""
