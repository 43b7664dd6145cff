"""Decoded images kept: in memory, and in a folder where one is given."""
