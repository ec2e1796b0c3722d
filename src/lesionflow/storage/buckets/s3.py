"""Objects on Amazon S3 and the stores that speak its protocol, such as MinIO and SeaweedFS; see `s3_connection`."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from lesionflow.errors import UserError
from lesionflow.storage import store
from lesionflow.storage.address import Address
from lesionflow.storage.s3_connection import absent_as_none, connected, status_of
from lesionflow.storage.store import Buckets, Conflict, StoredFile, Version, below

_CONFLICTS = (404, 409, 412)
"""A conditional write failed: the object is gone, is being written, or is another one."""


class S3(Buckets):
    """See `Store`."""

    def exists(self, place: Address) -> bool:
        """Whether there is an object, or one below."""
        if place.path and self.is_file(place):
            return True
        with connected(place) as (client, bucket, path):
            found = client.list_objects_v2(Bucket=bucket, Prefix=f"{path}/" if path else "", MaxKeys=1)
        return bool(found.get("Contents"))

    def is_file(self, place: Address) -> bool:
        """Whether there is an object."""
        with connected(place) as (client, bucket, path):
            return bool(path) and absent_as_none(client.head_object, Bucket=bucket, Key=path) is not None

    def read(self, place: Address) -> bytes | None:
        """The content; None if there is no object."""
        found = self.read_versioned(place)
        return found[0] if found else None

    def read_versioned(self, place: Address) -> tuple[bytes, Version] | None:
        """The content and its ETag; None if there is no object.

        An object rewritten with the bytes it had before may have its old ETag. Whoever decides by
        the content decides the same then.
        """
        from botocore import exceptions as aws
        from google.api_core.retry import Retry, if_exception_type

        with connected(place) as (client, bucket, path):

            def read() -> tuple[bytes, Version] | None:
                answer = absent_as_none(client.get_object, Bucket=bucket, Key=path)
                return answer and (answer["Body"].read(), Version(answer["ETag"]))

            # botocore goes on trying for an answer, but not when the connection breaks within one.
            broken = if_exception_type(aws.ResponseStreamingError, aws.IncompleteReadError, aws.ReadTimeoutError)
            return Retry(predicate=broken, timeout=store.RETRY)(read)()

    def write(self, place: Address, data: bytes) -> None:
        """Create or replace an object, whole or not at all, in parts if it is large."""
        with connected(place) as (client, bucket, path), _transfers(client) as manager:
            manager.upload(BytesIO(data), bucket, path).result()

    def replace(self, place: Address, data: bytes, expected: Version | None) -> None:
        """Write if the object's ETag still is `expected`."""
        condition = {"IfMatch": expected} if expected else {"IfNoneMatch": "*"}
        with connected(place) as (client, bucket, path):
            _check_conditions(client, place, bucket, path)
            if not _put_if(client, bucket, path, data, condition):
                raise Conflict(f"{place} was changed by somebody else meanwhile")

    def check_swaps(self, place: Address) -> None:
        """Make sure that `replace` below `place` can be relied on."""
        with connected(place) as (client, bucket, path):
            _check_conditions(client, place, bucket, below(path, "swaps"))

    def list_files(self, place: Address) -> list[StoredFile]:
        """All objects below, sorted by name; empty if there are none.

        The ETag is no checksum of the content if an object came in parts or is encrypted with a key
        of one's own; then a copy may count as other data. But no content changes without its ETag,
        which is what a fingerprint must notice.
        """
        with connected(place) as (client, bucket, path):
            prefix = f"{path}/" if path else ""
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            objects = [found for page in pages for found in page.get("Contents", ())]
        return sorted(
            (
                StoredFile(found["Key"][len(prefix) :], found["Size"], found["ETag"].strip('"'))
                for found in objects
                if not found["Key"].endswith("/")
            ),
            key=lambda file: file.name,
        )

    def fetch(self, place: Address, files: Mapping[str, Path]) -> None:
        """Download in parallel, large objects in parts."""
        with connected(place) as (client, bucket, path), _transfers(client) as manager:
            waiting = [manager.download(bucket, below(path, name), str(to)) for name, to in files.items()]
            for transfer in waiting:
                transfer.result()

    def send(self, place: Address, files: Mapping[str, Path]) -> None:
        """Upload in parallel, large files in parts."""
        with connected(place) as (client, bucket, path), _transfers(client) as manager:
            waiting = [manager.upload(str(source), bucket, below(path, name)) for name, source in files.items()]
            for transfer in waiting:
                transfer.result()


def _put_if(client: Any, bucket: str, path: str, data: bytes, condition: Mapping[str, str]) -> bool:
    """Write an object under a condition; False if that does not hold."""
    from botocore.exceptions import ClientError

    try:
        client.put_object(Bucket=bucket, Key=path, Body=data, **condition)
    except ClientError as error:
        if status_of(error) not in _CONFLICTS or error.response["Error"]["Code"] == "NoSuchBucket":
            raise
        return False
    return True


_conditional: set[tuple[str, str]] = set()
"""Endpoint and bucket of stores known to honour conditions."""


def _check_conditions(client: Any, place: Address, bucket: str, path: str) -> None:
    """Make sure, once per process, that a write under a condition that does not hold is refused.

    SeaweedFS up to 3.96 and others answer 200 and write (seaweedfs#7153): two promotions at once
    would then quietly lose one.

    Raises:
        UserError: it is not.
    """
    store_of = (client.meta.endpoint_url, bucket)
    if store_of in _conditional:
        return
    probe = f"{path}.only-once"
    once = {"IfNoneMatch": "*"}
    # Two writes only for the first process ever to come here; its first one is rightly accepted.
    if _put_if(client, bucket, probe, b"", once) and _put_if(client, bucket, probe, b"", once):
        raise UserError(
            f"The store of {place} ignores the condition of a conditional write (If-None-Match), so two runs at once "
            "could undo each other's promotion; upgrade it, or use another store."
        )
    _conditional.add(store_of)


@contextmanager
def _transfers(client: Any) -> Generator[Any]:
    from boto3.s3.transfer import TransferConfig, create_transfer_manager

    with create_transfer_manager(client, TransferConfig(preferred_transfer_client="classic")) as manager:
        yield manager


STORE = S3()
