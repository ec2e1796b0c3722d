"""Models: trained here, or read from a registry."""

import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from lesionflow import storage
from lesionflow.artifacts.model_folder import HISTORY
from lesionflow.components.balance.balance import balance_table
from lesionflow.components.finetune.finetune import finetune as run_phase
from lesionflow.notebook.markup import shown_path, table
from lesionflow.notebook.storing import stored
from lesionflow.notebook.subsets import Split
from lesionflow.prediction.predict import predict
from lesionflow.preflight.starting_weights import check_starting_weights
from lesionflow.recipe import PhaseName, Recipe, load_recipe
from lesionflow.registry.versions import fetch_model


@dataclass(frozen=True)
class Model:
    """A trained classifier."""

    path: Path
    """Its folder: model.keras, labels.json, history.csv, training.json, and more in a published version."""
    split: Split | None = None
    """What it was trained on; None for one that was read."""
    balanced: Path | None = None
    """The balanced training table, likewise."""
    address: str = ""
    """Where it was read from."""

    @cached_property
    def history(self) -> pd.DataFrame:
        """A row per epoch: phase, epoch, loss, accuracy, val_loss, val_macro_f1, learning_rate, seconds."""
        return pd.read_csv(self.path / HISTORY)

    def predict(self, images: Sequence[str | Path], output: str | Path | None = None) -> pd.DataFrame:
        """Classify images.

        Args:
            images: files, zips and folders (searched at any depth), local, gs:// or s3://.
            output: CSV to keep; None keeps none. A call that was interrupted goes on where it was.

        Returns:
            A row per image: `image_id` (its file's name), a probability per class, calibrated where the model has a
            calibration, `predicted`, `abstain`, and `error`, the reason why an image cannot be read.

        Raises:
            UserError: there are no images, two have the same name, or none of them can be read.
        """
        with tempfile.TemporaryDirectory() as folder:
            target = Path(output) if output is not None else Path(folder, "predictions.csv")
            predict(str(self.path), [str(image) for image in images], target, say=print)
            return pd.read_csv(target, dtype={"image_id": str})

    def __repr__(self) -> str:
        return f"Model({self._summary()}, path={self.address or shown_path(self.path)!r})"

    def _repr_html_(self) -> str:
        best = self.history.loc[self.history.groupby("phase", sort=False)["val_macro_f1"].idxmax()]
        rows = [
            (row["phase"], row["epoch"], f"{row['val_loss']:.3f}", f"{row['val_macro_f1']:.3f}")
            for _, row in best.iterrows()
        ]
        return table(("phase", "best epoch", "validation loss", "validation macro-F1"), rows, repr(self))

    def _summary(self) -> str:
        return f"{len(self.history)} epochs, validation macro-F1 {self.history['val_macro_f1'].max():.3f}"


def finetune(split: Split, *, recipe: str | Recipe = "", weights: str | Path = "", seed: int = 0) -> Model:
    """Train a classifier by all three steps of a recipe: the head, then part of the backbone, then all of it.

    Interrupted and called again, it goes on after the last epoch.

    Args:
        split: what `split` returned; its test subset is not looked at.
        recipe: a `Recipe`, a preset's name, a YAML or JSON file; by default `quick`, of synthetic images `demo`.
        weights: `imagenet`, `none`, or a `.weights.h5` file; by default `imagenet`, for synthetic images `none`.
        seed: of everything random.

    Raises:
        UserError: the recipe or the weights cannot be used.
    """
    synthetic = bool(split.images.card["synthetic"])
    settings = recipe if isinstance(recipe, Recipe) else load_recipe(recipe or ("demo" if synthetic else "quick"))
    start = str(weights) or ("none" if synthetic else "imagenet")
    check_starting_weights(start, settings.backbone, in_containers=False, say=print)
    text, root = settings.model_dump_json(), split.folder.parent
    balanced = stored(
        root,
        "balance",
        {"split": split.folder.name, "recipe": text},
        lambda into: balance_table(split.train.path, into / "balanced.parquet", into / "balancing.html", recipe=text),
    )

    def write(into: Path) -> None:
        before = None
        for phase in PhaseName:
            after = into / (phase if phase is not PhaseName.FULL else "model")
            run_phase(
                images=str(split.images.path),
                train=str(balanced / "balanced.parquet"),
                validation=str(split.validation.path),
                model=str(after),
                phase=phase,
                recipe=text,
                weights=start,
                fingerprint=split.images.folder.name,
                seed=seed,
                checkpoint_folder=str(root / "checkpoints"),
                start=before,
            )
            before = str(after)

    begun = start if start in ("imagenet", "none") else hashlib.sha256(storage.read_bytes(start)).hexdigest()
    inputs = {"split": split.folder.name, "balanced": balanced.name, "recipe": text, "weights": begun, "seed": seed}
    trained = stored(root, "finetune", inputs, write)
    return Model(trained / "model", split, balanced / "balanced.parquet")


def load_model(address: str | Path) -> Model:
    """Open a model: the champion of a registry, a version in one, or a model folder.

    Args:
        address: local, gs:// or s3://. What lies in a bucket is downloaded.

    Raises:
        UserError: there is no such model, or a version is not whole.
    """
    download = tempfile.mkdtemp(prefix="lesionflow-model-")
    try:
        model = Model(fetch_model(str(address), download), address=str(address))
    except BaseException:
        shutil.rmtree(download)
        raise
    weakref.finalize(model, shutil.rmtree, download)  # what was downloaded lives as long as the object
    return model
