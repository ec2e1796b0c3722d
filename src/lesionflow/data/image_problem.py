"""Why an image cannot be used: the same reasons, in the same words, wherever images are read."""

from enum import StrEnum


class Reason(StrEnum):
    """What kind of problem it is: how the quarantine, the data card and `predictions.csv` name and count it."""

    UNREADABLE = "unreadable file"
    """The bytes themselves cannot be had: permissions, a damaged zip."""
    NO_IMAGE = "not an image"
    NOT_READ = "format not read"
    """An image, but of a format or with pixels that no rule is stated for."""
    TOO_LARGE = "image too large"
    TOO_COSTLY = "image too costly"
    """Decoding would take, or took, more time or memory than any honest image of its size."""
    DAMAGED = "damaged image"


class ImageProblem(Exception):
    """An image that cannot be used. The message is `reason: detail`, on one line."""

    def __init__(self, reason: Reason, detail: str) -> None:
        """Say why.

        Args:
            reason: the kind of problem.
            detail: more of it, in words; whatever a library said is brought to one line.
        """
        self.reason = reason
        self.detail = " ".join(detail.split()).rstrip(".") or "no more is known"
        super().__init__(f"{reason}: {self.detail}")


def unreadable(error: Exception) -> ImageProblem:
    """What the system or a zip said when the bytes were to be read, as a reason."""
    said = error.strerror if isinstance(error, OSError) else None
    return ImageProblem(Reason.UNREADABLE, said or str(error) or type(error).__name__)
