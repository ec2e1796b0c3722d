"""Read by every Python that a step's command starts (this folder is on its PYTHONPATH).

KFP's launcher downloads s3://BUCKET/KEY to /s3/BUCKET/KEY before a step and uploads from there after it. Only root
may make /s3, so in tests it lies in a folder of the test's. kfp has no setting for it, hence this one patch.
"""

import os

from kfp.dsl.types import artifact_types

artifact_types._S3_LOCAL_MOUNT_PREFIX = os.environ["LAUNCHER_ROOT"] + "/s3/"  # pyright: ignore[reportPrivateUsage]
