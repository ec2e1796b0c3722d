"""What of a compiled pipeline only people read is left out of what each pod carries.

Argo keeps, for each step of a run, six copies of its pod's specification and two of its component's, and past 1 MB of
that, Kubeflow Pipelines no longer follows the run. Docstrings, comments and descriptions are in the repository and in
`components/<step>/README.md`; those of the whole pipeline's parameters stay, as the user interface shows them.
"""

import ast
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kfp.dsl.graph_component import GraphComponent

_SOURCE = "\nimport kfp\n"
"""How kfp begins the source that a pod runs."""


def slim(pipeline: "GraphComponent") -> None:
    """Leave out of `pipeline`, in place, what no pod reads: the steps' descriptions, docstrings and comments."""
    spec: Any = pipeline.pipeline_spec
    for component in spec.components.values():
        if not component.executor_label:
            continue  # a loop or condition: its inputs have no descriptions
        for definitions in (component.input_definitions, component.output_definitions):
            for definition in [*definitions.parameters.values(), *definitions.artifacts.values()]:
                definition.description = ""
    for executor in spec.deployment_spec["executors"].values():
        if "container" in executor:
            command = executor["container"]["command"]
            for index, part in enumerate(command):
                if part.startswith(_SOURCE):
                    command[index] = _SOURCE + without_comments(part.removeprefix(_SOURCE))


def without_comments(source: str) -> str:
    """Python that does the same, without docstrings and comments."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree) + "\n"
