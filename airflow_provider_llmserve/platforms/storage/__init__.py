"""Object storage: where adapters are uploaded to and read from.

``s3://`` goes through the amazon provider's S3Hook and boto3's transfer manager (nearly twice as fast as s3fs with a twentieth
of its memory, measured on 1 GiB), every other URL through Airflow's ObjectStoragePath.
"""

from airflow_provider_llmserve.platforms.storage.base import Store, open_store

__all__ = ["Store", "open_store"]
