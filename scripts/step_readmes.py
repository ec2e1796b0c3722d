"""Write `components/<step>/README.md` from each step's adapter, or check that they are up to date.

usage: scripts/step_readmes.py [--check]
"""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from docstring_parser import parse

from lesionflow.local.one_step import STEPS

ROOT = Path(__file__).resolve().parent.parent
TYPES = {"String": "text", "Integer": "integer", "Float": "number", "Boolean": "true or false"}
WIDTH = 100  # characters of an example's line


def render(step: str) -> str:
    """The README of a step, as Markdown."""
    component: Any = getattr(import_module(f"lesionflow.components.{step}.component"), step)
    documented = parse(component.python_func.__doc__ or "")
    about = {param.arg_name: _phrase(param.description) for param in documented.params}
    if documented.returns:
        about["Output"] = _phrase(documented.returns.description)
    inputs: dict[str, Any] = component.component_spec.inputs or {}
    outputs: dict[str, Any] = component.component_spec.outputs or {}
    missing = [name for name in (*inputs, *outputs) if not about.get(name)]
    if missing:
        raise SystemExit(f"components/{step}/component.py does not document {', '.join(missing)}")

    artifacts = [name for name, spec in inputs.items() if _is_artifact(spec)]
    parameters = [name for name in inputs if name not in artifacts]
    parts = [
        f"<!-- Written by scripts/step_readmes.py from component.py; edit that. -->\n# {step}",
        documented.short_description or "",
        documented.long_description or "",
        _table(
            ("input", "type", "what it is"),
            [(f"`{name}`", _type(inputs[name]), about[name]) for name in artifacts],
        ),
        _table(
            ("parameter", "type", "default", "what it is"),
            [(f"`{name}`", _type(inputs[name]), _default(inputs[name]), about[name]) for name in parameters],
        ),
        _table(
            ("output", "type", "what it is"),
            [(f"`{name}`", _type(spec), about[name]) for name, spec in outputs.items()],
        ),
    ]
    if step in STEPS and not any(spec.is_artifact_list for spec in inputs.values()):  # kfp imports single ones only
        parts += ["This step alone:", f"```\n{_example(step, inputs)}\n```"]
    return "\n\n".join(part for part in parts if part) + "\n"


def _phrase(description: str | None) -> str:
    return " ".join((description or "").split()).rstrip(".")


def _is_artifact(spec: Any) -> bool:
    return "." in str(spec.type)  # as in system.Dataset@0.0.1


def _type(spec: Any) -> str:
    name = str(spec.type)
    shown = name.split("@")[0].split(".")[1] if _is_artifact(spec) else TYPES.get(name, name.lower())
    if _is_artifact(spec) and spec.is_artifact_list:
        return f"{shown}s"
    return f"{shown}, optional" if _is_artifact(spec) and getattr(spec, "optional", False) else shown


def _default(spec: Any) -> str:
    if not spec.optional:
        return "required"
    return f"`{json.dumps(spec.default)}`"


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    lines = [header, ("---",) * len(header), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _example(step: str, inputs: dict[str, Any]) -> str:
    """A command line with everything that is required, and the first parameter that has a default."""
    words = ["lesionflow", "step", step]
    optional: list[str] = []
    for name, spec in inputs.items():
        if not spec.optional:
            words.append(f"{'--input' if _is_artifact(spec) else '--set'} {name}={name.upper()}")
        elif spec.default not in (None, ""):
            optional.append(f"--set {name}={spec.default}")
    lines = [""]
    for word in words + optional[:1]:
        if len(lines[-1]) + len(word) > WIDTH:
            lines[-1] += " \\"
            lines.append("   ")
        lines[-1] += f" {word}" if lines[-1] else word
    return "\n".join(lines)


def main() -> int:
    """Write or check all steps; 1 if a check failed."""
    check = "--check" in sys.argv[1:]
    stale: list[str] = []
    for adapter in sorted(ROOT.glob("components/*/component.py")):
        readme = adapter.with_name("README.md")
        text = render(adapter.parent.name)
        if readme.is_file() and readme.read_text(encoding="utf-8") == text:
            continue
        stale.append(str(readme.relative_to(ROOT)))
        if not check:
            readme.write_text(text, encoding="utf-8")
    for name in stale:
        print(f"{name} {'is out of date; run scripts/step_readmes.py' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
