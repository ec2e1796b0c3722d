"""Periodic retraining: a recurring run of Kubeflow Pipelines, described by a file."""
