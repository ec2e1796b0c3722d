"""Documents that steps hand on: what was written comes back as it was, and anything else is told in one sentence."""

import json
from pathlib import Path
from typing import Any

import pytest
from judged import make_evaluation, training_record

from lesionflow.artifacts.evaluation import Evaluation
from lesionflow.artifacts.summary import Summary
from lesionflow.artifacts.training_record import TrainingRecord
from lesionflow.artifacts.version_card import FileFacts, Promotion, VersionCard
from lesionflow.errors import UserError
from lesionflow.runtime.document import Document

EVALUATION = make_evaluation(9, 1)
DOCUMENTS: list[Document] = [
    EVALUATION,
    training_record(),
    VersionCard(
        version="20250131T120000Z-00000001",
        created="2025-01-31T12:00:00+00:00",
        evaluation=EVALUATION,
        files=(FileFacts(name="model.keras", size=3, sha256="0" * 64),),
        promotion=Promotion(outcome="promoted", reason="It is the first.", replace_champion="better"),
    ),
    Summary(
        verdict="passed",
        status="passed",
        gate=EVALUATION.gate,
        metrics=EVALUATION.metrics,
        data=EVALUATION.data,
        training=EVALUATION.training,
        artifacts={},
        seed=0,
    ),
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: type(document).__name__)
def test_what_was_written_comes_back_and_is_written_the_same_again(document: Document, tmp_path: Path):
    document.write(tmp_path / "file")

    found = type(document).load(tmp_path / "file")

    assert found == document
    assert found.text() == (tmp_path / "file").read_text()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: type(document).__name__)
@pytest.mark.parametrize(
    ("edit", "says"),
    [
        ({"format": 2}, "format: Input should be 1, received 2"),
        ({"format": None}, "format"),
        ({"surprise": 1}, "surprise: Extra inputs are not permitted"),
    ],
)
def test_another_format_or_an_unknown_field_is_refused(document: Document, edit: dict[str, Any], says: str):
    with pytest.raises(UserError, match=says) as raised:
        type(document).parse(json.dumps(json.loads(document.text()) | edit).encode(), "the file")

    assert str(raised.value).startswith(f"the file is not {document.what}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", [Evaluation, TrainingRecord, VersionCard, Summary])
@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{", b"{}", b'{"seed": NaN}', b"\xff\xfe"])
def test_what_is_no_document_is_told_in_a_sentence(kind: type[Document], content: bytes, tmp_path: Path):
    (tmp_path / "file").write_bytes(content)

    with pytest.raises(UserError, match=f"is not {kind.what}") as raised:
        kind.load(tmp_path / "file")

    assert "\n" not in str(raised.value)


def test_a_missing_document_is_told_with_who_writes_it(tmp_path: Path):
    with pytest.raises(UserError, match=r"There is no training\.json in .*, as finetune writes it"):
        TrainingRecord.load(tmp_path / "training.json")


def test_an_average_is_an_attribute_and_what_is_none_is_told():
    assert EVALUATION.metrics.macro_f1 is EVALUATION.metrics.averages["macro_f1"]
    with pytest.raises(AttributeError, match="there is no metric 'f2'; the averages are macro_f1"):
        _ = EVALUATION.metrics.f2
