"""Whether a pipeline takes the parameters that a schedule gives it."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from lesionflow.errors import UserError

_KINDS: dict[str, tuple[str, tuple[type, ...]]] = {
    "STRING": ("text", (str,)),
    "NUMBER_INTEGER": ("a whole number", (int,)),
    "NUMBER_DOUBLE": ("a number", (int, float)),
    "BOOLEAN": ("true or false", (bool,)),
    "LIST": ("a list", (list,)),
    "STRUCT": ("a mapping", (dict,)),
}


def check_parameters(given: Mapping[str, Any], spec: Mapping[str, Any], where: str) -> None:
    """Compare what is given with what a pipeline declares.

    Args:
        given: name -> value.
        spec: the pipeline's spec, alone or with its platform spec, as the server returns it.
        where: of `given`, for the error.

    Raises:
        UserError: an unknown, missing or badly typed parameter.
    """
    root = spec.get("pipeline_spec", spec).get("root", {})
    declared: Mapping[str, Any] = root.get("inputDefinitions", {}).get("parameters", {})
    pipeline = pipeline_name(spec) or "the pipeline"
    for name, value in given.items():
        if name not in declared:
            close = get_close_matches(name, declared, n=1)
            hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(declared) or 'none'}."
            raise UserError(f"{where}: {pipeline} has no parameter {name!r}; {hint}")
        kind, types = _KINDS.get(declared[name].get("parameterType", ""), ("", (object,)))
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types and object not in types):
            raise UserError(f"{where}: the parameter {name} of {pipeline} takes {kind}, received {value!r}.")
    for name, declaration in declared.items():
        if name not in given and "defaultValue" not in declaration and not declaration.get("isOptional"):
            raise UserError(f"{where}: {pipeline} needs the parameter {name}; add it under `parameters`.")


def pipeline_name(spec: Mapping[str, Any]) -> str:
    """What a pipeline calls itself; empty if nothing.

    Args:
        spec: as of `check_parameters`.
    """
    return spec.get("pipeline_spec", spec).get("pipelineInfo", {}).get("name", "")
