"""One call for every ingest test."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest

from lesionflow.artifacts.images import read_data_card, read_metadata
from lesionflow.components.ingest.ingest import ingest


class Ingested(NamedTuple):
    folder: Path
    table: pd.DataFrame
    quarantine: pd.DataFrame
    card: dict[str, Any]
    metrics: dict[str, Any]
    page: str


@pytest.fixture
def run_ingest(tmp_path: Path) -> Callable[..., Ingested]:
    """Run ingest and read back all that it wrote."""

    def run(source: Path | str, **options: Any) -> Ingested:
        out = tmp_path / f"out-{len(list(tmp_path.glob('out-*')))}"
        metrics = ingest(
            str(source), "f1", str(out / "images"), str(out / "quarantine"), str(out / "card.html"), **options
        )
        return Ingested(
            out / "images",
            read_metadata(out / "images"),
            pd.read_parquet(out / "quarantine"),
            read_data_card(out / "images"),
            metrics,
            (out / "card.html").read_text(),
        )

    return run
