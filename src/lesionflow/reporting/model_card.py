"""The model card: an evaluation's metrics as Markdown, with the metadata that model hubs read.

Sections follow Mitchell et al. 2019 (arXiv 1810.03993); the metadata Hugging Face's specification of model cards.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lesionflow.metrics.classification import AVERAGES, format_metric
from lesionflow.reporting.checklist import claim_2024
from lesionflow.reporting.markdown import cell, code, licence_name, render_card
from lesionflow.reporting.page import load_template
from lesionflow.taxonomy import HAM10000, Taxonomy, check_taxonomy

_METRICS: dict[str, tuple[str, dict[str, str]]] = {
    "macro_f1": ("f1", {"average": "macro"}),
    "weighted_f1": ("f1", {"average": "weighted"}),
    "balanced_accuracy": ("recall", {"average": "macro"}),
    "accuracy": ("accuracy", {}),
    "macro_auc": ("roc_auc", {"average": "macro", "multi_class": "ovr"}),
}
"""Average -> the hub's name of the metric, and its arguments."""


def render_model_card(evaluation: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    """Write the model card.

    Args:
        evaluation: the content of the evaluation file; every metric in the card comes from it.
        card: the data card of the images.

    Returns:
        Markdown that begins with the metadata as YAML.
    """
    template = load_template(
        Path(__file__).with_name("model_card.md.j2"), metric=format_metric, interval=_interval, code=code, cell=cell
    )
    taxonomy = check_taxonomy(evaluation["taxonomy"], "the evaluation")
    body = template.render(
        evaluation=evaluation,
        card=card,
        averages=AVERAGES,
        taxonomy=taxonomy,
        diagnoses=taxonomy.names,
        recipe=evaluation["training"].get("recipe") or {},
        checklist=claim_2024(evaluation, card),
    )
    return render_card(_metadata(evaluation, card, taxonomy), body)


def _metadata(evaluation: Mapping[str, Any], card: Mapping[str, Any], taxonomy: Taxonomy) -> dict[str, Any]:
    synthetic = evaluation["data"]["synthetic"]
    recipe: Mapping[str, Any] = evaluation["training"].get("recipe") or {}
    dataset = (
        {"type": "synthetic", "name": "synthetic images"}
        if synthetic
        else {"type": taxonomy.name, "name": "HAM10000" if taxonomy == HAM10000 else taxonomy.name}
    )
    measured = [
        {"type": kind, "name": AVERAGES[name], "value": evaluation["metrics"][name]}
        | ({"args": dict(arguments)} if arguments else {})
        for name, (kind, arguments) in _METRICS.items()
        if evaluation["metrics"][name] is not None
    ]
    return {
        # The model inherits the licence of its data unless its authors know better.
        "license": licence_name(str(card.get("licence", ""))),
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "dermatology", "dermoscopy", "skin-lesion", "medical", "lesionflow"],
        "datasets": [dataset["type"]],
        "metrics": ["f1", "recall", "accuracy", "roc_auc"],
        "model-index": [
            {
                "name": f"lesionflow-{recipe.get('name', 'model')}",
                "results": [
                    {
                        "task": {"type": "image-classification", "name": "Skin-lesion classification"},
                        "dataset": {
                            **dataset,
                            "split": "test",
                            "args": {
                                "fingerprint": evaluation["data"]["fingerprint"],
                                "test_set": evaluation["data"]["test_set"],
                            },
                        },
                        "metrics": measured,
                    }
                ],
            }
        ],
    }


def _interval(interval: tuple[float, float] | tuple[None, None]) -> str:
    low, high = interval
    return "n/a" if low is None or high is None else f"{low:.3f} to {high:.3f}"
