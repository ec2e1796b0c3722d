"""Object stores. Each module here is named for the scheme of its addresses and defines `STORE`; to add one, add a file.

A module is imported when an address of its scheme is used.
"""

from functools import cache

from lesionflow.runtime.discover import module_names


@cache
def schemes() -> tuple[str, ...]:
    """The schemes of all object stores, alphabetical."""
    return tuple(module_names(__name__))
