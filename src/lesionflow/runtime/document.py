"""Documents that one step writes and another reads: typed, of a known format, verified once when they are read."""

import hashlib
import json
from pathlib import Path
from typing import ClassVar, NoReturn, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from lesionflow.errors import UserError
from lesionflow.runtime.files import write_text

_MOST_PROBLEMS = 3


class Part(BaseModel):
    """A part of a document: no field that is not known, no value of another type, no NaN, no change afterwards."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_by_name=True, serialize_by_alias=True
    )


class Document(Part):
    """A JSON file of its own. Each kind has a field `format`, a `Literal` of the one version that this code reads."""

    what: ClassVar[str]
    """What it is, for messages: "an evaluation"."""
    written_by: ClassVar[str]
    """What writes it, for messages: "evaluate"."""

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read and verify the file at `path`.

        Raises:
            UserError: there is no such file, or it is not what this class describes; NaN is not JSON.
        """
        try:
            content = Path(path).read_bytes()
        except FileNotFoundError:
            place = Path(path)
            raise UserError(
                f"There is no {place.name} in {place.parent}; expected {cls.what}, as {cls.written_by} writes it."
            ) from None
        except OSError as error:
            raise UserError(
                f"{path} cannot be read as {cls.what} ({error.strerror}); "
                f"expected the file that {cls.written_by} wrote."
            ) from None
        return cls.parse(content, str(path))

    @classmethod
    def parse(cls, content: bytes, where: str) -> Self:
        """Understand and verify what was read.

        Args:
            content: UTF-8.
            where: it comes from, for messages.

        Raises:
            UserError: as `load`.
        """
        wrote = f"expected the file that {cls.written_by} wrote"
        try:
            read = json.loads(content.decode("utf-8"), parse_constant=_refuse)
        except ValueError as error:
            raise UserError(f"{where} is not {cls.what}: it is not valid JSON ({error}); {wrote}.") from None
        if not isinstance(read, dict):
            raise UserError(f"{where} is not {cls.what}; {wrote}, a JSON object, received {read!r:.60}.")
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise UserError(f"{where} is not {cls.what}: {_problems(error)}; {wrote}.") from None

    def text(self) -> str:
        """It as the file that `write` writes: the same document gives the same bytes."""
        return json.dumps(self.model_dump(mode="json"), indent=2, allow_nan=False) + "\n"

    @property
    def digest(self) -> str:
        """SHA-256 of `text`, in hexadecimal."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def write(self, path: str | Path) -> None:
        """Write it to `path`, whole or not at all."""
        write_text(path, self.text())


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _problems(error: ValidationError) -> str:
    """What is wrong, for people: each problem with its place and what was received."""
    shown = [
        f"{'.'.join(map(str, each['loc'])) or 'all of it'}: {each['msg'].removeprefix('Value error, ')}"
        + ("" if each["type"] == "missing" else f", received {each['input']!r:.60}")
        for each in error.errors()[:_MOST_PROBLEMS]
    ]
    more = error.error_count() - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more > 0 else "")
