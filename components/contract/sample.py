"""The smallest data set that the product's own steps take, and an evaluation that no gate lets through."""

import io
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from lesionflow import storage
from lesionflow.artifacts.evaluation import CrossValidation, TestedData
from lesionflow.artifacts.training_record import SharedTraining
from lesionflow.data.source import SYNTHETIC_MARKER
from lesionflow.metrics.classification import classification_metrics
from lesionflow.policy import floor
from lesionflow.runtime.provenance import provenance
from lesionflow.taxonomy import HAM10000
from lesionflow.verdict import Evidence, judge

LESIONS = 4
"""Of each class, one image each: one more than the folds of a split."""
_COLUMNS = "lesion_id,image_id,dx,dx_type,age,sex,localization"


def write_sample(source: str) -> dict[str, bytes]:
    """Write 28 drawn pictures of 40x30 pixels with their metadata, in HAM10000's layout.

    Args:
        source: a folder, gs:// or s3:// prefix.

    Returns:
        Name of each file -> its content; the same every time.
    """
    files = {SYNTHETIC_MARKER: b"Drawn by lesionflow's contract step; no patient is in it.\n"}
    lines = [_COLUMNS]
    for index in range(LESIONS * len(HAM10000.codes)):
        label = HAM10000.codes[index % len(HAM10000.codes)]
        files[f"contract_{index:07d}.jpg"] = _picture(index)
        lines.append(f"lesion_{index:07d},contract_{index:07d},{label},histo,{30 + index}.0,female,back")
    files["HAM10000_metadata.csv"] = ("\n".join(lines) + "\n").encode()
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            Path(folder, name).write_bytes(content)
        storage.upload_folder(folder, source)
    return dict(sorted(files.items()))


def write_evaluation(path: str | Path) -> None:
    """Write what evaluate would of a model that knows one class only: every gate that asks for more refuses it."""
    truth = np.arange(len(HAM10000.codes)).repeat(2)
    probabilities = np.full((len(truth), len(HAM10000.codes)), 0.1 / (len(HAM10000.codes) - 1))
    probabilities[:, 0] = 0.9
    metrics = classification_metrics(truth, probabilities, HAM10000.codes)
    verdict = judge(Evidence(taxonomy=HAM10000, metrics=metrics), floor("macro_f1", 0.7))
    CrossValidation(
        verdict=verdict.word,
        gate=verdict,
        taxonomy=HAM10000,
        metrics=metrics,
        method="answers of no model",
        folds=(),
        spread=None,
        data=TestedData(
            source=None,
            synthetic=True,
            fingerprint=None,
            test_set="",
            counts={"test": dict.fromkeys(HAM10000.codes, 2)},
            lesions={"test": len(truth)},
        ),
        training=SharedTraining(),
        provenance=provenance(),
        seed=0,
        artifacts={},
    ).write(path)


def _picture(index: int) -> bytes:
    """A JPEG that no other index gives."""
    image = Image.linear_gradient("L").resize((40, 30)).convert("RGB")
    image.paste((40 + 5 * index, 200 - 4 * index, 90 + 3 * index), (index, 5, index + 10, 25))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
