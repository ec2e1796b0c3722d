"""What Kubernetes says of nodes, pods and permissions."""
