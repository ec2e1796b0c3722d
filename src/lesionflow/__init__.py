"""Dermatoscopic images to a skin-lesion classifier that passed an honest gate, on a laptop or on Kubeflow.

    import lesionflow as lf

    images = lf.ingest("folder")
    parts = lf.split(images, seed=0)
    model = lf.finetune(parts, recipe="quick")
    evaluation = lf.evaluate(model, parts.test)
    evaluation.metrics.macro_f1.interval

The names are imported when they are first used, so `import lesionflow` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lesionflow.errors import GateRefused, UserError
    from lesionflow.notebook.comparison import compare
    from lesionflow.notebook.evaluation import Policy, evaluate
    from lesionflow.notebook.images import ingest
    from lesionflow.notebook.metrics import measure
    from lesionflow.notebook.models import finetune, load_model
    from lesionflow.notebook.subsets import split
    from lesionflow.notebook.synthetic import synth
    from lesionflow.recipe import Recipe
    from lesionflow.taxonomy import Taxonomy

__all__ = [
    "GateRefused",
    "Policy",
    "Recipe",
    "Taxonomy",
    "UserError",
    "compare",
    "evaluate",
    "finetune",
    "ingest",
    "load_model",
    "measure",
    "split",
    "synth",
]

_WHERE = {
    "GateRefused": "lesionflow.errors:GateRefused",
    "Policy": "lesionflow.notebook.evaluation:Policy",
    "Recipe": "lesionflow.recipe:Recipe",
    "Taxonomy": "lesionflow.taxonomy:Taxonomy",
    "UserError": "lesionflow.errors:UserError",
    "compare": "lesionflow.notebook.comparison:compare",
    "evaluate": "lesionflow.notebook.evaluation:evaluate",
    "finetune": "lesionflow.notebook.models:finetune",
    "ingest": "lesionflow.notebook.images:ingest",
    "load_model": "lesionflow.notebook.models:load_model",
    "measure": "lesionflow.notebook.metrics:measure",
    "split": "lesionflow.notebook.subsets:split",
    "synth": "lesionflow.notebook.synthetic:synth",
}
"""Public name -> module and name there; the same as above, for Python as that is for editors and type checkers."""


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _WHERE[name].partition(":")
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
