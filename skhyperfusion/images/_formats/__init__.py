"""Readers of image files, by suffix."""
