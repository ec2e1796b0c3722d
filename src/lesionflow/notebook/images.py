"""Images that were read, checked and downscaled once."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from lesionflow.artifacts.images import read_data_card, read_metadata
from lesionflow.components.fingerprint.fingerprint import fingerprint
from lesionflow.components.ingest.ingest import ingest as run_ingest
from lesionflow.notebook.markup import Page, class_table, shown_path
from lesionflow.notebook.storing import FOLDER, stored
from lesionflow.taxonomy import HAM10000, Taxonomy, load_taxonomy


@dataclass(frozen=True)
class Images:
    """The images artifact: Parquet shards with bytes beside metadata, a data card, and a quarantine table."""

    folder: Path
    """Its own; the shards lie in `images` below."""

    @property
    def path(self) -> Path:
        """The folder of the shards, which every step and `datasets.load_dataset` reads."""
        return self.folder / "images"

    @cached_property
    def metadata(self) -> pd.DataFrame:
        """One row per image, without the bytes: image_id, lesion_id, dx, age (years), sex, localization ..."""
        return read_metadata(self.path)

    @property
    def quarantine(self) -> pd.DataFrame:
        """What was left out: item, file, reason."""
        return pd.read_parquet(self.folder / "quarantine.parquet")

    @cached_property
    def card(self) -> dict[str, Any]:
        """The data card: counts, provenance, licence, missing values."""
        return read_data_card(self.path)

    def data_card(self) -> Page:
        """The data card as a page."""
        return Page(self.folder / "data_card.html")

    def __len__(self) -> int:
        return int(self.card["images"])

    def __repr__(self) -> str:
        return f"Images({self._summary()}, folder={shown_path(self.folder)!r})"

    def _repr_html_(self) -> str:
        counts: dict[str, dict[str, int]] = self.card["counts"]
        columns = {name: {dx: each[name] for dx, each in counts.items()} for name in ("images", "lesions")}
        return class_table(columns, self._summary())

    def _summary(self) -> str:
        left_out = sum(self.card["quarantined"].values())
        return f"{len(self):,} images of {self.card['lesions']:,} lesions, {left_out} quarantined"


def ingest(
    source: str | Path,
    *,
    taxonomy: str | Path | Taxonomy = HAM10000,
    stored_size: int = 256,
    max_quarantine: float = 0.01,
    folder: str | Path = FOLDER,
) -> Images:
    """Read images with their metadata, whatever the layout, once; damaged ones are set aside with the reason.

    Args:
        source: folder, zip, or gs:// or s3:// prefix.
        taxonomy: of the classes: `ham10000`, `isic2019`, a YAML or JSON file, or a `Taxonomy`.
        stored_size: shorter side of the stored images, pixels; images are never enlarged.
        max_quarantine: largest share of rows and surplus images that may be left out, 0 to 1.
        folder: where this and all that is made from it is kept.

    Raises:
        UserError: the source cannot be used, or too much of it would be left out.
    """
    place = str(source)
    classes = taxonomy if isinstance(taxonomy, Taxonomy) else load_taxonomy(str(taxonomy))
    text = classes.text()
    digest = fingerprint(place, weights="none", taxonomy=text)
    inputs = {"fingerprint": digest, "stored_size": stored_size, "max_quarantine": max_quarantine}

    def write(into: Path) -> None:
        outputs = (str(into / name) for name in ("images", "quarantine.parquet", "data_card.html"))
        run_ingest(place, digest, *outputs, stored_size=stored_size, max_quarantine=max_quarantine, taxonomy=text)

    return Images(stored(Path(folder).absolute(), "ingest", inputs, write))
