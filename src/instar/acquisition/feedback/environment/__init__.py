"""Feedback from outside the model: answers, scorers."""
