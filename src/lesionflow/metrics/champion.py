"""What the comparison of a model with the version in use found."""

from typing import Literal

from pydantic import Field

from lesionflow.metrics.paired import Difference
from lesionflow.runtime.document import Part


class Left(Part):
    """Test images that the champion was trained on."""

    images: int
    lesions: int


class ChampionComparison(Part):
    """A model against the version in use, on the test lesions that this was not trained on."""

    status: Literal["compared", "none", "not compared"]
    """`none`: there is no champion yet."""
    version: str | None = None
    reason: str | None = None
    """Why it was not compared."""
    images: int | None = None
    """Of the comparison, as are the lesions."""
    lesions: int | None = None
    left_out: Left | None = None
    model: dict[str, float | None] = Field(default_factory=dict[str, float | None])
    """The averages of the model on those images."""
    champion: dict[str, float | None] = Field(default_factory=dict[str, float | None])
    """Likewise, of the champion."""
    differences: dict[str, Difference] = Field(default_factory=dict[str, Difference])
    """The model's averages minus the champion's."""
