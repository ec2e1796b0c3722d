"""The pipeline's steps, each run by kfp's executor on its recorded input, chained as a run chains them."""

from collections.abc import Generator
from pathlib import Path

import pytest
from launcher import Launcher
from recorded_steps import RECORDED, Chain
from recordings import recorded
from seaweedfs import SeaweedFS

from lesionflow import storage
from lesionflow.data.synthetic.dataset import write_synthetic


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Generator[Chain]:
    folder = tmp_path_factory.mktemp("chain")
    with SeaweedFS() as server, pytest.MonkeyPatch.context() as patch:
        environment = server.environment
        for name, value in environment.items():
            patch.setenv(name, value)
        _fill(folder)
        made = Chain(Launcher(folder / "pod", environment), {})
        for task in RECORDED:
            if made.run(task).code:
                break
        yield made


def _fill(folder: Path) -> None:
    """Put data where the recorded run had its own."""
    import boto3

    source = recorded("executor-input/fingerprint.json")["inputs"]["parameterValues"]["source"]
    boto3.Session().client("s3").create_bucket(Bucket=source.split("/")[2])
    write_synthetic(folder / "data", images=210, size=(100, 75), seed=1)
    storage.upload_folder(folder / "data", source)
