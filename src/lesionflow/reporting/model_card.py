"""The model card: an evaluation's metrics as Markdown, with the metadata that model hubs read.

Sections follow Mitchell et al. 2019 (arXiv 1810.03993); the metadata Hugging Face's specification of model cards.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lesionflow.artifacts.evaluation import Evaluation
from lesionflow.metrics import averages
from lesionflow.metrics.bootstrap import Interval
from lesionflow.metrics.classification import AVERAGES
from lesionflow.reporting.checklist import claim_2024
from lesionflow.reporting.markdown import cell, code, licence_name, render_card
from lesionflow.reporting.page import load_template
from lesionflow.runtime.metric_text import format_metric
from lesionflow.taxonomy import HAM10000


def render_model_card(evaluation: Evaluation, card: Mapping[str, Any]) -> str:
    """Write the model card.

    Args:
        evaluation: what the card is of; every metric in it comes from there.
        card: the data card of the images.

    Returns:
        Markdown that begins with the metadata as YAML.
    """
    template = load_template(
        Path(__file__).with_name("model_card.md.j2"), metric=format_metric, interval=_interval, code=code, cell=cell
    )
    body = template.render(
        evaluation=evaluation,
        card=card,
        averages=AVERAGES,
        taxonomy=evaluation.taxonomy,
        diagnoses=evaluation.taxonomy.names,
        checklist=claim_2024(evaluation, card),
    )
    return render_card(_metadata(evaluation, card), body)


def _metadata(evaluation: Evaluation, card: Mapping[str, Any]) -> dict[str, Any]:
    data, taxonomy = evaluation.data, evaluation.taxonomy
    dataset = (
        {"type": "synthetic", "name": "synthetic images"}
        if data.synthetic
        else {"type": taxonomy.name, "name": "HAM10000" if taxonomy == HAM10000 else taxonomy.name}
    )
    measured: list[dict[str, Any]] = []
    for name, average in averages.ALL.items():
        value = evaluation.metrics.averages[name].value
        if average.hub and value is not None:
            arguments = {"args": dict(average.hub.arguments)} if average.hub.arguments else {}
            measured.append({"type": average.hub.type, "name": average.title, "value": value} | arguments)
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
                "name": f"lesionflow-{evaluation.training.recipe.name}",
                "results": [
                    {
                        "task": {"type": "image-classification", "name": "Skin-lesion classification"},
                        "dataset": {
                            **dataset,
                            "split": "test",
                            "args": {
                                "fingerprint": data.fingerprint,
                                "test_set": data.test_set,
                            },
                        },
                        "metrics": measured,
                    }
                ],
            }
        ],
    }


def _interval(interval: Interval) -> str:
    low, high = interval
    return "n/a" if low is None or high is None else f"{low:.3f} to {high:.3f}"
