"""Images of one lesion that are no copies of each other, found by their local features."""
