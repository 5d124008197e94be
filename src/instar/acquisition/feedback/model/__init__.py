"""Feedback from the model itself."""
