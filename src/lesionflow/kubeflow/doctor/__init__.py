"""What stands in the way of a run on a cluster, and how to fix it."""
