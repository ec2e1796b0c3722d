"""Reaching Amazon S3 and the stores that speak its protocol: clients, and what they raise as one sentence.

Endpoint, region and credentials come from where every AWS tool takes them: AWS_ENDPOINT_URL_S3 or
AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and its kin, a profile, or the role of the machine or pod. With an
endpoint set, buckets are part of the path and not of the host's name. `minio://` is how open-source
Kubeflow Pipelines spells the address of its own store.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from lesionflow.errors import UserError
from lesionflow.storage import store
from lesionflow.storage.address import Address

_EXPIRED = ("ExpiredToken", "InvalidToken", "RequestExpired")

_answered: set[tuple[str | None, str]] = set()
"""Buckets that this process has reached."""


@contextmanager
def connected(place: Address) -> Generator[tuple[Any, str, str]]:
    """A client, the bucket of `place`, which does answer, and the path within; errors become one sentence."""
    bucket = place.bucket
    endpoint = _endpoint()
    with _explained(place):
        client = _client(endpoint)
        if place.scheme == "minio" and ".amazonaws." in client.meta.endpoint_url:
            raise UserError(f"{place} does not say on which server; set AWS_ENDPOINT_URL_S3 to its address.")
        if (endpoint, bucket) not in _answered:
            store.first_contact(place, lambda: _look(_client(endpoint, attempts=2), bucket))
            _answered.add((endpoint, bucket))
        yield client, bucket, place.path


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


def absent_as_none(request: Any, **arguments: str) -> Any:
    """The answer to a request; None if it is that there is no such object, but there is the bucket."""
    from botocore.exceptions import ClientError

    try:
        return request(**arguments)
    except ClientError as error:
        if status_of(error) != 404 or error.response["Error"]["Code"] == "NoSuchBucket":
            raise
        return None


def status_of(error: Any) -> int:
    return error.response["ResponseMetadata"]["HTTPStatusCode"]


@contextmanager
def _explained(place: Address) -> Generator[None]:
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
        code, status = error.response["Error"]["Code"], status_of(error)
        if code in _EXPIRED:
            raise UserError(f"The credentials for {place} have expired ({code}); log in again.") from None
        if status == 404:
            raise store.missing(place) from None
        if status in (401, 403):
            raise store.denied(place) from None
        if code == "NotImplemented":
            raise UserError(f"The store of {place} does not know how to {error.operation_name}; upgrade it.") from None
        if status >= 500 or status == 429:
            raise store.unreachable(place, code) from None
        raise UserError(f"The store refuses {place} ({code}); check the bucket, its region and the endpoint.") from None
    except credentials as error:
        raise UserError(
            f"No usable S3 credentials were found for {place} ({type(error).__name__}); set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
        ) from None
    except aws.ParamValidationError:
        raise UserError(f"{place} is not a valid S3 address; check the bucket's name.") from None
    except (aws.BotoCoreError, RetriesExceededError) as error:
        # A wrong endpoint is the likeliest mistake; the rest of the URL may hold a password.
        server = urlsplit(_endpoint() or "").netloc.rpartition("@")[2]
        raise store.unreachable(place, type(error).__name__ + (f" at {server}" if server else "")) from None
