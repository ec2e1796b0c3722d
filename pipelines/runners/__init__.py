"""Ways to run a compiled pipeline."""
