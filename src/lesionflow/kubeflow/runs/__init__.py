"""What a run on the cluster does: followed, shown, stopped."""
