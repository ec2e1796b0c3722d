"""`card.json`: what a version of the model registry is, where it comes from, and what it consists of."""

from typing import ClassVar, Literal

from lesionflow.artifacts.evaluation import Evaluation
from lesionflow.runtime.document import Document, Part

CARD = "card.json"
"""Its name in the folder of a version."""


class FileFacts(Part):
    """A file of a version."""

    name: str
    """Below the version's folder."""
    size: int
    """Bytes."""
    sha256: str


class Promotion(Part):
    """What became of a version when it was published."""

    outcome: Literal["promoted", "published"]
    """It became the champion; or it lies in the registry beside one that stayed."""
    reason: str
    replace_champion: Literal["better", "always"]


class VersionCard(Document):
    """The card of a version. The verdict in it is judged once more by `verify`, and before anything is published."""

    what: ClassVar[str] = "a version's card"
    written_by: ClassVar[str] = "promote"

    format: Literal[1] = 1
    version: str
    created: str
    """ISO 8601, UTC."""
    evaluation: Evaluation
    files: tuple[FileFacts, ...]
    """All but the card itself, sorted by name."""
    promotion: Promotion | None = None
    """None until the champion was compared with."""
