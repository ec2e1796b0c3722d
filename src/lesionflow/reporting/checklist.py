"""The items of CLAIM 2024, filled in where a run knows the answer.

CLAIM 2024 is the Checklist for Artificial Intelligence in Medical Imaging, 44 items (Tejani et al. 2024, Radiology:
Artificial Intelligence 6(4):e240300, doi 10.1148/ryai.240300). Topics are in our words; the paper has the items.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lesionflow.artifacts.evaluation import Evaluation
from lesionflow.runtime.metric_text import format_metric

AUTHORS = "To be stated by the authors."


@dataclass(frozen=True)
class Item:
    """One item of the checklist."""

    number: int
    topic: str
    answer: str = AUTHORS


def claim_2024(evaluation: Evaluation, card: Mapping[str, Any]) -> list[Item]:
    """The checklist as far as an evaluation fills it in.

    Args:
        evaluation: of the model.
        card: the data card of the images.
    """
    known = _known(evaluation, card)
    return [Item(number, topic, known.get(number, AUTHORS)) for number, topic in enumerate(_TOPICS, 1)]


_VIEWS = {
    1: ".",
    4: ", and their three mirror images.",
    8: ", their three mirror images, and windows of four fifths of the side at the four corners.",
}
"""What a model sees of an image, by the recipe's number of views."""
_TOPICS = (
    "Title or abstract: names the AI technique",
    "Abstract: design, methods, results, conclusions",
    "Background, intended use and role",
    "Aims and hypotheses",
    "Prospective or retrospective",
    "Goal of the study",
    "Where the data come from",
    "Who and what is in or out",
    "Preprocessing",
    "Use of only a part of the data",
    "De-identification",
    "Missing data",
    "How the images were taken",
    "Reference standard: definition",
    "Reference standard: why this one",
    "Reference standard: who annotated",
    "Annotation of the test set",
    "Agreement between and within annotators",
    "Assignment to the partitions",
    "Level at which partitions are disjoint",
    "Planned sample size",
    "The model in detail",
    "Software",
    "Initial weights",
    "Training in detail",
    "Choice of the final model",
    "Ensembling",
    "Measures of performance",
    "Measures of uncertainty",
    "Robustness and sensitivity",
    "Explainability",
    "Evaluation on internal data",
    "Testing on external data",
    "Registration of a clinical trial",
    "Numbers in and out",
    "Characteristics of the cases per partition",
    "Performance with its uncertainty",
    "Diagnostic performance with its precision",
    "Analysis of the errors",
    "Limitations",
    "Meaning for practice",
    "Protocol or further technical details",
    "Availability of software, model, data",
    "Funding",
)


def _known(evaluation: Evaluation, card: Mapping[str, Any]) -> dict[int, str]:
    metrics, data, training = evaluation.metrics, evaluation.data, evaluation.training
    recipe = training.recipe
    sizes = {name: sum(counts.values()) for name, counts in data.counts.items()}
    low, high = metrics.macro_f1.interval
    out = card.get("quarantined") or {}
    missing = {name: count for name, count in (card.get("missing") or {}).items() if count}
    kinds = card.get("dx_types") or {}
    pixels, views = recipe.decode_size, recipe.test_time_augmentation
    known = {
        7: card.get("citation") or f"`{data.source}`",
        8: f"Left out as unusable: {sum(out.values()):,} entries"
        + (f" ({', '.join(f'{reason}: {count:,}' for reason, count in out.items())})." if out else ".")
        + " Criteria of the source: to be stated by the authors.",
        9: f"Whole images, resized to {pixels} x {pixels} pixels" + _VIEWS[views],
        12: f"Images lacking metadata are kept; unknown: {', '.join(f'{n} {c:,}' for n, c in missing.items())}."
        if missing
        else "",
        14: f"Labels of the source, confirmed by: {', '.join(f'{kind} {count:,}' for kind, count in kinds.items())}."
        if kinds
        else "",
        19: "By whole lesions: "
        + ", ".join(f"{name} {size:,} images ({data.lesions[name]:,} lesions)" for name, size in sizes.items())
        + ".",
        20: "The lesion. Different lesions of one patient may lie on both sides if the source names no patients.",
        22: f"{recipe.backbone}, one softmax layer over {len(metrics.per_class)} classes.",
        23: ", ".join(f"{name} {version}" for name, version in training.versions.items()),
        24: f"Pretrained, weights of SHA-256 `{training.weights_sha256[:16]}`."
        if training.pretrained and training.weights_sha256
        else "",
        25: f"Recipe {recipe.name}, seed {training.seed}; all settings stand in the evaluation file.",
        27: "One model" + (f"; its answers to {views} views of an image are averaged." if views > 1 else "."),
        28: "Macro-F1 first; precision, recall, F1, AUC per class; sensitivity and specificity at thresholds from "
        "validation; calibration; risk and coverage.",
        29: f"95 % intervals from {evaluation.resamples:,} bootstrap resamples of lesions, seed {evaluation.seed}.",
        30: "By subgroup, under Subgroups. Other shifts: to be stated by the authors.",
        31: "Occlusion sensitivity of the surest errors and right answers, in the report.",
        32: f"{sizes['test']:,} images of {data.lesions['test']:,} lesions, none in training or validation.",
        33: "None in this run.",
        35: ", ".join(f"{name} {size:,} images" for name, size in sizes.items()) + ".",
        36: "Classes per partition under Data; sex, age and site of the test images under Subgroups.",
        37: f"Macro-F1 {format_metric(metrics.macro_f1.value)} "
        + (f"(95 % interval {low:.3f} to {high:.3f})." if low is not None else "(no interval)."),
        38: "Under Operating points." if evaluation.operating_points.questions else "",
        39: "Confusion matrix and the surest errors, in the report.",
        40: "Those under Limitations; others to be stated by the authors.",
        42: "The evaluation file, the report and the recipe.",
    }
    return {number: answer for number, answer in known.items() if answer}
