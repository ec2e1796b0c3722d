"""Learnable images in HAM10000's own layout, for demonstrations and tests."""
