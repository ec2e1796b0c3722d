"""Probabilities for images outside any run."""
