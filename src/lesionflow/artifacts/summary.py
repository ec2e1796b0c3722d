"""The summary that every run leaves."""

SUMMARY = "summary.json"
"""Its name in the folder of a run."""
