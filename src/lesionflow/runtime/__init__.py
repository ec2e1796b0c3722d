"""The life of a task and of a run."""
