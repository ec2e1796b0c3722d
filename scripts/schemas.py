"""Write `docs/schemas/*.json`, the JSON Schemas of the documents that steps write, or check that they are up to date.

usage: scripts/schemas.py [--check]
"""

import json
import sys
from pathlib import Path

from lesionflow.artifacts.evaluation import CrossValidation, Evaluation
from lesionflow.artifacts.summary import Summary
from lesionflow.artifacts.training_record import TrainingRecord
from lesionflow.artifacts.version_card import VersionCard
from lesionflow.runtime.document import Document

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "schemas"
DOCUMENTS: dict[str, type[Document]] = {
    "evaluation": Evaluation,
    "cross-validation": CrossValidation,
    "training": TrainingRecord,
    "card": VersionCard,
    "summary": Summary,
}
"""Name of the schema -> what it describes."""


def rendered(document: type[Document]) -> str:
    """The JSON Schema of a document as a file's text."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **document.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write them, or with --check fail if one is not as it would be written, or lies there without being one."""
    expected = {FOLDER / f"{name}.json": rendered(document) for name, document in DOCUMENTS.items()}
    if "--check" in sys.argv[1:]:
        stale = [path.name for path, text in expected.items() if not path.is_file() or path.read_text() != text]
        stale += [path.name for path in FOLDER.glob("*.json") if path not in expected]
        if stale:
            raise SystemExit(f"docs/schemas: {', '.join(sorted(stale))} not up to date; run scripts/schemas.py")
        return
    FOLDER.mkdir(exist_ok=True)
    for path, text in expected.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
