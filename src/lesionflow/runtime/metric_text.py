"""Metrics as people read them."""


def format_metric(value: float | None) -> str:
    """Write a metric with three digits, or n/a."""
    return "n/a" if value is None else f"{value:.3f}"
