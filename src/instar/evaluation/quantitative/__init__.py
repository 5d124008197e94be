"""Measures that are numbers."""
