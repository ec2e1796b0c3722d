"""MinIO and SeaweedFS, as open-source Kubeflow Pipelines spells the address of its own store: S3 with an endpoint."""

from lesionflow.storage.buckets.s3 import S3

STORE = S3()
