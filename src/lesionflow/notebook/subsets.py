"""The split: train, validation and test, with no lesion on two sides."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from lesionflow.artifacts.tables import SUBSETS
from lesionflow.artifacts.tables import Split as SplitTable
from lesionflow.components.duplicates.duplicates import find_duplicates
from lesionflow.components.split.split import split_images
from lesionflow.notebook.images import Images
from lesionflow.notebook.markup import Page, class_table, shown_path
from lesionflow.notebook.storing import stored


@dataclass(frozen=True)
class Subset:
    """The images of one side: train, validation or test."""

    name: str
    split: "Split"
    """The split that it is of."""

    @property
    def path(self) -> Path:
        """Its table, Parquet."""
        return self.split.folder / f"{self.name}.parquet"

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row per image: image_id, lesion_id, dx, subset."""
        return SplitTable.load(self.path)

    @property
    def counts(self) -> dict[str, int]:
        """Images per class."""
        return {str(dx): int(count) for dx, count in self.table["dx"].value_counts().sort_index().items()}

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        return f"Subset({self.name}: {len(self):,} images of {self.table['lesion_id'].nunique():,} lesions)"

    def _repr_html_(self) -> str:
        return class_table({self.name: self.counts}, repr(self))


@dataclass(frozen=True)
class Split:
    """Three subsets of the images. No lesion, no found duplicate and no copy of an image is in two of them."""

    folder: Path
    images: Images
    guard: Path | None
    """Folder of the near-duplicates that were found; None without the leak guard."""

    @cached_property
    def train(self) -> Subset:
        """To learn from."""
        return Subset("train", self)

    @cached_property
    def validation(self) -> Subset:
        """To choose the best epoch, the temperature and thresholds on."""
        return Subset("validation", self)

    @cached_property
    def test(self) -> Subset:
        """To evaluate on, once everything is decided."""
        return Subset("test", self)

    def duplicates(self) -> Page | None:
        """The page with every pair under different lesion ids that shows the same thing; None if nobody looked."""
        return self.guard and Page(self.guard / "sheet.html")

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(getattr(self, name)):,}" for name in SUBSETS)
        return f"Split({sizes} images, folder={shown_path(self.folder)!r})"

    def _repr_html_(self) -> str:
        return class_table({name: getattr(self, name).counts for name in SUBSETS}, "Images by subset, split by lesion")


def split(
    images: Images,
    *,
    seed: int = 0,
    validation_share: float = 0.1,
    test_share: float = 0.2,
    leak_guard: bool = True,
    duplicate_pairs: str | Path = "",
    fixed_test: str | Path = "",
) -> Split:
    """Split the images by lesion, stratified by class; near-duplicates are found by content and kept together.

    Args:
        images: what `ingest` returned.
        seed: another seed gives another split.
        validation_share: share of each class's images for validation, 0 to 1.
        test_share: the same for the test set.
        leak_guard: look for images under different lesion ids that show the same thing; some 20 ms of a core each.
        duplicate_pairs: CSV of two image ids a line that show the same thing.
        fixed_test: list of the test images; other images of their lesions are left out.

    Raises:
        UserError: bad shares or lists, or a class without images for each subset.
    """
    root, ingested = images.folder.parent, images.folder.name
    guard = None
    if leak_guard:

        def search(into: Path) -> None:
            print(f"Looking for near-duplicates among {len(images):,} images, some 20 ms each ...", flush=True)
            find_duplicates(images.path, into / "pairs.csv", into / "sheet.html")

        guard = stored(root, "duplicates", {"images": ingested}, search)
    lists = {
        name: Path(path).read_text(encoding="utf-8") if path else ""
        for name, path in (("duplicate_pairs", duplicate_pairs), ("fixed_test", fixed_test))
    }
    shares = {"seed": seed, "validation_share": validation_share, "test_share": test_share}

    def write(into: Path) -> None:
        split_images(
            images.path,
            {name: into / f"{name}.parquet" for name in SUBSETS},
            seed=seed,
            validation_share=validation_share,
            test_share=test_share,
            duplicate_pairs=str(duplicate_pairs),
            fixed_test=str(fixed_test),
            found_pairs=guard / "pairs.csv" if guard else "",
        )

    made_from = {"images": ingested, "guard": guard and guard.name, **shares, **lists}
    return Split(stored(root, "split", made_from, write), images, guard)
