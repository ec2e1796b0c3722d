"""Objects on Amazon S3 and the stores that speak its protocol, such as MinIO and SeaweedFS.

Endpoint, region and credentials come from where every AWS tool takes them: AWS_ENDPOINT_URL_S3 or
AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and its kin, a profile, or the role of the machine or pod. With an
endpoint set, buckets are part of the path and not of the host's name. `minio://` is how open-source
Kubeflow Pipelines spells the address of its own store.
"""

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lesionflow.errors import UserError
from lesionflow.storage import store
from lesionflow.storage.store import Conflict, StoredFile, Version, address, below

_CONFLICTS = (404, 409, 412)
"""A conditional write failed: the object is gone, is being written, or is another one."""
_EXPIRED = ("ExpiredToken", "InvalidToken", "RequestExpired")


class S3:
    """See `Store`."""

    def exists(self, uri: str) -> bool:
        """Whether there is an object, or one below."""
        if address(uri)[1] and self.is_file(uri):
            return True
        with _bucket(uri) as (client, bucket, path):
            found = client.list_objects_v2(Bucket=bucket, Prefix=f"{path}/" if path else "", MaxKeys=1)
        return bool(found.get("Contents"))

    def is_file(self, uri: str) -> bool:
        """Whether there is an object."""
        with _bucket(uri) as (client, bucket, path):
            return bool(path) and _absent_as_none(client.head_object, Bucket=bucket, Key=path) is not None

    def read(self, uri: str) -> bytes | None:
        """The content; None if there is no object."""
        found = self.read_versioned(uri)
        return found[0] if found else None

    def read_versioned(self, uri: str) -> tuple[bytes, Version] | None:
        """The content and its ETag; None if there is no object.

        An object rewritten with the bytes it had before may have its old ETag. Whoever decides by
        the content decides the same then.
        """
        from botocore import exceptions as aws
        from google.api_core.retry import Retry, if_exception_type

        with _bucket(uri) as (client, bucket, path):

            def read() -> tuple[bytes, Version] | None:
                answer = _absent_as_none(client.get_object, Bucket=bucket, Key=path)
                return answer and (answer["Body"].read(), Version(answer["ETag"]))

            # botocore goes on trying for an answer, but not when the connection breaks within one.
            broken = if_exception_type(aws.ResponseStreamingError, aws.IncompleteReadError, aws.ReadTimeoutError)
            return Retry(predicate=broken, timeout=store.RETRY)(read)()

    def write(self, uri: str, data: bytes) -> None:
        """Create or replace an object, whole or not at all, in parts if it is large."""
        with _bucket(uri) as (client, bucket, path), _transfers(client) as manager:
            manager.upload(BytesIO(data), bucket, path).result()

    def replace(self, uri: str, data: bytes, expected: Version | None) -> None:
        """Write if the object's ETag still is `expected`."""
        condition = {"IfMatch": expected} if expected else {"IfNoneMatch": "*"}
        with _bucket(uri) as (client, bucket, path):
            _check_conditions(client, uri, bucket, path)
            if not _put_if(client, bucket, path, data, condition):
                raise Conflict(f"{uri} was changed by somebody else meanwhile")

    def check_swaps(self, uri: str) -> None:
        """Make sure that `replace` below `uri` can be relied on."""
        with _bucket(uri) as (client, bucket, path):
            _check_conditions(client, uri, bucket, below(path, "swaps"))

    def list_files(self, uri: str) -> list[StoredFile]:
        """All objects below, sorted by name; empty if there are none.

        The ETag is no checksum of the content if an object came in parts or is encrypted with a key
        of one's own; then a copy may count as other data. But no content changes without its ETag,
        which is what a fingerprint must notice.
        """
        with _bucket(uri) as (client, bucket, path):
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

    def fetch(self, uri: str, files: Mapping[str, Path]) -> None:
        """Download in parallel, large objects in parts."""
        with _bucket(uri) as (client, bucket, path), _transfers(client) as manager:
            waiting = [manager.download(bucket, below(path, name), str(to)) for name, to in files.items()]
            for transfer in waiting:
                transfer.result()

    def send(self, uri: str, files: Mapping[str, Path]) -> None:
        """Upload in parallel, large files in parts."""
        with _bucket(uri) as (client, bucket, path), _transfers(client) as manager:
            waiting = [manager.upload(str(source), bucket, below(path, name)) for name, source in files.items()]
            for transfer in waiting:
                transfer.result()


_answered: set[tuple[str | None, str]] = set()
"""Buckets that this process has reached."""


@contextmanager
def _bucket(uri: str) -> Generator[tuple[Any, str, str]]:
    """A client, the bucket of `uri`, which does answer, and the path within; errors become one sentence."""
    bucket, path = address(uri)
    endpoint = _endpoint()
    with _explained(uri):
        client = _client(endpoint)
        if uri.startswith("minio://") and ".amazonaws." in client.meta.endpoint_url:
            raise UserError(f"{uri} does not say on which server; set AWS_ENDPOINT_URL_S3 to its address.")
        if (endpoint, bucket) not in _answered:
            store.first_contact(uri, lambda: _look(_client(endpoint, attempts=2), bucket))
            _answered.add((endpoint, bucket))
        yield client, bucket, path


def _endpoint() -> str | None:
    """Where the environment sends us, if it does; boto3 reads it by itself."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


@cache
def _client(endpoint: str | None, attempts: int = 6) -> Any:
    """A client per process, and per endpoint when tests start several servers.

    Args:
        endpoint: only tells clients apart, see `_endpoint`.
        attempts: at each request, with growing pauses between them.
    """
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=store.CONNECT_TIMEOUT,
        read_timeout=store.READ_TIMEOUT,
        retries={"mode": "standard", "total_max_attempts": attempts},
        # Stores other than Amazon's often refuse the trailing checksums that boto3 sends by default
        # (boto3#4398). Uploads are signed over their SHA-256 all the same.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        return boto3.Session().client("s3", config=config)
    except ValueError:
        raise UserError(
            f"The S3 endpoint {endpoint or 'in the AWS profile'} is no address; expected one like http://host:port."
        ) from None


def _look(client: Any, bucket: str) -> None:
    """Ask a bucket for anything. A refusal is an answer too: what follows may be allowed, or says why not."""
    from botocore.exceptions import ClientError

    with suppress(ClientError):
        client.head_bucket(Bucket=bucket)


def _absent_as_none(request: Any, **arguments: str) -> Any:
    """The answer to a request; None if it is that there is no such object, but there is the bucket."""
    from botocore.exceptions import ClientError

    try:
        return request(**arguments)
    except ClientError as error:
        if _status(error) != 404 or error.response["Error"]["Code"] == "NoSuchBucket":
            raise
        return None


def _put_if(client: Any, bucket: str, path: str, data: bytes, condition: Mapping[str, str]) -> bool:
    """Write an object under a condition; False if that does not hold."""
    from botocore.exceptions import ClientError

    try:
        client.put_object(Bucket=bucket, Key=path, Body=data, **condition)
    except ClientError as error:
        if _status(error) not in _CONFLICTS or error.response["Error"]["Code"] == "NoSuchBucket":
            raise
        return False
    return True


_conditional: set[tuple[str, str]] = set()
"""Endpoint and bucket of stores known to honour conditions."""


def _check_conditions(client: Any, uri: str, bucket: str, path: str) -> None:
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
            f"The store of {uri} ignores the condition of a conditional write (If-None-Match), so two runs at once "
            "could undo each other's promotion; upgrade it, or use another store."
        )
    _conditional.add(store_of)


@contextmanager
def _transfers(client: Any) -> Generator[Any]:
    from boto3.s3.transfer import TransferConfig, create_transfer_manager

    with create_transfer_manager(client, TransferConfig(preferred_transfer_client="classic")) as manager:
        yield manager


def _status(error: Any) -> int:
    return error.response["ResponseMetadata"]["HTTPStatusCode"]


@contextmanager
def _explained(uri: str) -> Generator[None]:
    """Turn what the client raises about a bucket into one sentence."""
    from botocore import exceptions as aws
    from s3transfer.exceptions import RetriesExceededError

    credentials = (
        aws.NoCredentialsError,
        aws.PartialCredentialsError,
        aws.CredentialRetrievalError,
        aws.ProfileNotFound,
        aws.SSOError,
        aws.TokenRetrievalError,
    )
    try:
        yield
    except aws.ClientError as error:
        code, status = error.response["Error"]["Code"], _status(error)
        if code in _EXPIRED:
            raise UserError(f"The credentials for {uri} have expired ({code}); log in again.") from None
        if status == 404:
            raise store.missing(uri) from None
        if status in (401, 403):
            raise store.denied(uri) from None
        if code == "NotImplemented":
            raise UserError(f"The store of {uri} does not know how to {error.operation_name}; upgrade it.") from None
        if status >= 500 or status == 429:
            raise store.unreachable(uri, code) from None
        raise UserError(f"The store refuses {uri} ({code}); check the bucket, its region and the endpoint.") from None
    except credentials as error:
        raise UserError(
            f"No usable S3 credentials were found for {uri} ({type(error).__name__}); set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
        ) from None
    except aws.ParamValidationError:
        raise UserError(f"{uri} is not a valid S3 address; check the bucket's name.") from None
    except (aws.BotoCoreError, RetriesExceededError) as error:
        # A wrong endpoint is the likeliest mistake; the rest of the URL may hold a password.
        server = urlsplit(_endpoint() or "").netloc.rpartition("@")[2]
        raise store.unreachable(uri, type(error).__name__ + (f" at {server}" if server else "")) from None
