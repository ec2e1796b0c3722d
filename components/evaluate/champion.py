"""The model against the version in use, on the same test lesions: those that version was not trained on."""

import tempfile
from collections.abc import Callable

import numpy as np
import pandas as pd

from lesionflow.artifacts.model_folder import read_labels
from lesionflow.artifacts.tables import Split
from lesionflow.errors import UserError
from lesionflow.metrics.champion import ChampionComparison, Left
from lesionflow.metrics.classification import classification_metrics
from lesionflow.metrics.paired import paired_differences
from lesionflow.metrics.statistics import LEAST_LESIONS, Judged
from lesionflow.models.loaded_model import LoadedModel, load_model
from lesionflow.registry.versions import SPLIT, DamagedVersion, fetch_model, version_address
from lesionflow.taxonomy import Taxonomy

Predict = Callable[[LoadedModel, pd.DataFrame], Judged]
"""What a model says of the images of a table."""


def compare_with_champion(
    registry: str, version: str, test: pd.DataFrame, judged: Judged, predict: Predict, seed: int, taxonomy: Taxonomy
) -> ChampionComparison:
    """Compare a model with the version in use.

    What that version was trained or validated on, it knows: those lesions, and those images should their lesion
    have another id there, are left out for both models.

    Args:
        registry: folder, gs:// or s3:// prefix.
        version: in it; empty if there is none yet.
        test: the test table.
        judged: what the model said of its images, in its order.
        predict: of the champion.
        seed: of the resampling.
        taxonomy: of the test images.

    Raises:
        UserError: the registry cannot be read.
    """
    if not version:
        return ChampionComparison(status="none", reason="The registry has no champion yet.")
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = fetch_model(version_address(registry, version), folder)
        except DamagedVersion as error:  # what cannot be read at this moment raises, so that a retry can read it
            return _not_compared(version, str(error))
        if not (path / SPLIT).is_file():
            return _not_compared(version, f"The champion {version} does not say what it was trained on.")
        try:
            known, (classes, _) = Split.load(path / SPLIT), read_labels(path)
            if classes.codes != taxonomy.codes:
                other = f"The champion {version} knows other classes: {', '.join(classes.codes)}."
                return _not_compared(version, other)
            model = load_model(path)
        except UserError as error:
            return _not_compared(version, str(error))
        trained = known[known["subset"] != "test"]
        new = ~(test["lesion_id"].isin(trained["lesion_id"]) | test["image_id"].isin(trained["image_id"])).to_numpy()
        left, kept = test[~new], test[new]
        found = _not_compared(version).model_copy(
            update={
                "images": len(kept),
                "lesions": int(kept["lesion_id"].nunique()),
                "left_out": Left(images=len(left), lesions=int(left["lesion_id"].nunique())),
            }
        )
        if kept["lesion_id"].nunique() < LEAST_LESIONS:
            reason = (
                f"The champion {version} was trained on all but {found.lesions} of the test lesions; "
                f"a comparison takes {LEAST_LESIONS}."
            )
            return found.model_copy(update={"reason": reason})
        theirs = predict(model, kept)
    ours = judged.probabilities[new]
    if judged.invalid or theirs.invalid:
        who = "model" if judged.invalid else "champion"
        return found.model_copy(update={"reason": f"The {who} gave probabilities that are not numbers."})
    differences = paired_differences(theirs.labels, ours, theirs.probabilities, theirs.lesion_ids, seed, taxonomy.codes)
    return found.model_copy(
        update={
            "status": "compared",
            "model": _averages(theirs.labels, ours, taxonomy),
            "champion": _averages(theirs.labels, theirs.probabilities, taxonomy),
            "differences": differences,
        }
    )


def _not_compared(version: str, reason: str | None = None) -> ChampionComparison:
    return ChampionComparison(status="not compared", version=version, reason=reason)


def _averages(labels: np.ndarray, probabilities: np.ndarray, taxonomy: Taxonomy) -> dict[str, float | None]:
    measured = classification_metrics(labels, probabilities, taxonomy.codes)
    return {name: metric.value for name, metric in measured.averages.items()}
