"""The steps of the lesionflow pipeline, one room per step."""
