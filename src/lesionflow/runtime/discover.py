"""Things that are found by themselves: a package of them grows by adding a file."""

import importlib
import importlib.util
import pkgutil
from typing import TypeVar

T = TypeVar("T")


def find_all(package: str, name: str, kind: type[T]) -> dict[str, T]:
    """Import the modules of a package and collect what each of them defines under one name.

    Call it from the `__init__.py` of that package, so that `step_digest` knows that its modules count.

    Args:
        package: `__name__` of the package that calls.
        name: of the object; modules that do not define it are passed over, such as what the others share.
        kind: what each object has to be.

    Returns:
        Name of the module, without its package -> its object; in the order of the modules' names.

    Raises:
        TypeError: one of the objects is of another kind.
    """
    found: dict[str, T] = {}
    for module in module_names(package):
        imported = importlib.import_module(f"{package}.{module}")
        if hasattr(imported, name):
            found[module] = _checked(f"{package}.{module}.{name}", getattr(imported, name), kind)
    return found


def find_one(package: str, module: str, name: str, kind: type[T]) -> T:
    """Import one module of a package and give what it defines under a name; the others stay as they are.

    Args:
        package: full name of the package.
        module: one of its `module_names`.
        name: of the object.
        kind: what it has to be.

    Raises:
        TypeError: the object is of another kind.
    """
    return _checked(f"{package}.{module}.{name}", getattr(importlib.import_module(f"{package}.{module}"), name), kind)


def module_names(package: str) -> list[str]:
    """List the modules of a package, without importing any of them: for where their names are enough.

    Args:
        package: full name of the package.
    """
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    return sorted(module.name for module in pkgutil.iter_modules(folders or []))


def _checked(where: str, thing: object, kind: type[T]) -> T:
    if not isinstance(thing, kind):
        raise TypeError(f"{where} is {thing!r}; expected a {kind.__name__}")
    return thing
