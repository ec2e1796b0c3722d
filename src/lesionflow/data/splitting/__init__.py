"""Which lesion goes to which subset."""
