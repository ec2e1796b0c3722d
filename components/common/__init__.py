"""What several steps share, one noun per file."""
