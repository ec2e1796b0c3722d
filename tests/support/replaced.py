"""What of a library we replace or lean on though it is private: its present source, held to the one that we read."""

import hashlib
import inspect
from collections.abc import Callable
from importlib.metadata import version
from typing import Any


def unchanged(library: str, part: Callable[..., Any], digest: str, stands_in: str) -> None:
    """Fail with a sentence if a part of a library is not what it was when the code that stands in for it was written.

    Args:
        library: its distribution's name.
        part: the private function or class.
        digest: of its source then, the first 12 digits.
        stands_in: our own, by its dotted name.
    """
    now = hashlib.sha256(inspect.getsource(part).encode()).hexdigest()[:12]
    name = f"{part.__module__}.{part.__qualname__}"
    assert now == digest, (
        f"{library} {version(library)} has another {name} than the one that {stands_in} was written for: read it, see "
        f"whether {stands_in} is still right, or needed at all, and write its digest {now} into this test."
    )
