"""The CSV that `lesionflow predict` writes: batch by batch into a partial file, which a restarted command goes on with.

predictions.csv.<key>.partial   rows so far; the key is of the model, its calibration and the images
predictions.csv                 the finished table
predictions.csv.json            what it was made from, so that a finished table is not made again
"""

import csv
import fcntl
import io
import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lesionflow.errors import UserError
from lesionflow.runtime.files import file_digest, write_json


def columns_of(labels: Sequence[str]) -> tuple[str, ...]:
    """The columns of the predictions of a model that knows these classes."""
    return ("image_id", *labels, "predicted", "abstain", "error")


Row = Sequence[str]
"""The cells of one image, in the order of `columns_of` the model's classes."""


class PredictionTable:
    """A table being written; leaving the block does not finish it, `finish` does."""

    def __init__(
        self, output: Path, made_from: dict[str, Any], image_ids: Sequence[str], batch: int, columns: Sequence[str]
    ) -> None:
        """Find what an earlier command left.

        Args:
            output: the CSV.
            made_from: of what the rows depend on: JSON, with a `key` that differs wherever the rest does.
            image_ids: of all rows, in order.
            batch: rows written at a time. Only whole batches of an earlier command count: an image's probabilities
                may differ in the last digits with the images that it is computed together with.
            columns: of the table.

        Raises:
            UserError: another command is writing this very table.
        """
        self._output = output
        self._made_from = made_from
        self._record = output.with_name(f"{output.name}.json")
        self._partial = output.with_name(f"{output.name}.{made_from['key'][:12]}.partial")
        self.finished = self._is_finished()
        self.rows: Sequence[Row] = []
        """Those that an earlier command wrote."""
        if self.finished:
            self.rows = _parse(output.read_bytes())
            return
        output.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._partial.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise UserError(
                f"Another lesionflow predict is writing {output}; wait for it, or choose another --output."
            ) from None
        self._file.seek(0)
        self.rows, whole = _whole_batches(self._file.read(), image_ids, batch, columns)
        self._file.truncate(whole)
        if not whole:
            self._file.write(_encode([columns]))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if not self.finished:
            self._file.close()

    def notes(self) -> list[str]:
        """What lies at the output, or beside it, that is of other models or images; in sentences."""
        notes: list[str] = []
        if self._output.exists() and not self.finished:
            notes.append(f"{self._output} {self._difference()}; it is replaced when this one is complete.")
        others = sorted(self._output.parent.glob(f"{self._output.name}.*.partial"))
        notes += [
            f"{other} is of an interrupted command with another model or other images; remove it if nobody needs it."
            for other in others
            if other != self._partial
        ]
        return notes

    def append(self, rows: Sequence[Row]) -> None:
        """Write one batch."""
        self._file.write(_encode(rows))
        self._file.flush()

    def finish(self) -> None:
        """Make the partial file the output."""
        self._file.flush()
        # First the record: one without its table is harmless, as it names the table's digest.
        write_json(self._record, {**self._made_from, "csv_sha256": file_digest(self._partial)})
        self._partial.replace(self._output)

    def _is_finished(self) -> bool:
        record = self._read_record()
        return (
            self._output.is_file()
            and record.get("key") == self._made_from["key"]
            and record.get("csv_sha256") == file_digest(self._output)
        )

    def _difference(self) -> str:
        record = self._read_record()
        if record.get("csv_sha256") != file_digest(self._output):
            return "is there already, and it is not known what from"
        fields = {"model_sha256": "another model", "calibration": "another calibration", "images": "other images"}
        differing = [what for field, what in fields.items() if record.get(field) != self._made_from[field]]
        return f"is there already, from {' and '.join(differing) or 'another version of lesionflow'}"

    def _read_record(self) -> dict[str, Any]:
        try:
            content = json.loads(self._record.read_bytes())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


def _encode(rows: Sequence[Row]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode(errors="surrogateescape")  # file names need not be UTF-8


def _parse(data: bytes) -> Sequence[Row]:
    """The rows without the header; the last may be torn."""
    return list(csv.reader(io.StringIO(data.decode(errors="surrogateescape"), newline="")))[1:]


def _whole_batches(
    data: bytes, image_ids: Sequence[str], batch: int, columns: Sequence[str]
) -> tuple[Sequence[Row], int]:
    """The whole batches at the start of a partial file, and their length in bytes, 0 if there is not even a header."""
    rows = _parse(data)
    count = min(len(rows), len(image_ids))
    if count < len(image_ids):
        count -= count % batch
    while count >= 0:
        kept = rows[:count]
        start = _encode([columns, *kept])
        if data.startswith(start) and [row[0] for row in kept] == list(image_ids[:count]):
            return kept, len(start)
        count -= count % batch or batch
    return [], 0
