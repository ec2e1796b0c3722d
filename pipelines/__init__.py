"""Wiring, running, submitting and scheduling the steps."""
