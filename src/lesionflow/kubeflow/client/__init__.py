"""The connection to Kubeflow Pipelines' API."""
