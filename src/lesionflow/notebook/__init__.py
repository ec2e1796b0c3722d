"""What `import lesionflow as lf` offers a researcher: the steps as functions that return objects, without Kubeflow."""
