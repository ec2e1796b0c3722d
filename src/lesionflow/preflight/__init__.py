"""What can be known before the work, asked before the work."""
