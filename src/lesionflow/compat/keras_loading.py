"""Keras warns where it should refuse."""

import warnings
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def complete_loading() -> Generator[None]:
    """Let Keras raise UserWarning where it would only warn that layers keep their random weights.

    `load_weights` has no strict mode (`skip_mismatch=False` refuses other shapes only), and the warnings have no
    class of their own: they are known by their words, and Python's filters are process-wide. No issue known.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*(Skipping|could not be loaded|not found)", category=UserWarning)
        yield
