"""Everything between the compiled pipeline and a Kubeflow cluster."""
