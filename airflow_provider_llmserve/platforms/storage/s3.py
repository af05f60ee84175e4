"""S3 and what speaks its protocol, through the amazon provider's hook."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from airflow_provider_llmserve.adapters.manifest import Entry
from airflow_provider_llmserve.errors import AccessDenied, BadInput, MissingExtra, NotFound, PlatformError, Rejected, Unavailable

_SHA = "sha256"
"""Name of the object metadata that an interrupted upload is resumed by."""


class S3Store:
    """One prefix of one bucket."""

    def __init__(self, bucket: str, prefix: str, conn_id: str | None):
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        try:
            from airflow.providers.amazon.aws.hooks.s3 import S3Hook
        except ImportError:
            raise MissingExtra(self.url, "s3") from None
        self._bucket, self._prefix = bucket, prefix
        self._hook = S3Hook(aws_conn_id=conn_id or S3Hook.default_conn_name)

    @cached_property
    def client(self) -> Any:
        """boto3's S3 client."""
        return self._hook.get_conn()

    def sizes(self, path: str = "") -> dict[str, int]:
        return {name: found["Size"] for name, found in self._files(path).items()}

    def marks(self, path: str = "") -> dict[str, str]:
        return {name: found["ETag"] for name, found in self._files(path).items()}

    def _files(self, path: str) -> dict[str, dict[str, Any]]:
        prefix = self._key(path).rstrip("/") + "/"
        with self._errors(path):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix.lstrip("/"), Delimiter="/"
            )
            found = [f for page in pages for f in page.get("Contents", ())]
            return {f["Key"].rpartition("/")[2]: f for f in found if not f["Key"].endswith("/")}

    def read(self, path: str) -> bytes:
        with self._errors(path):
            data: bytes = self.client.get_object(Bucket=self._bucket, Key=self._key(path))["Body"].read()
            return data

    def holds(self, path: str, entry: Entry) -> bool:
        with self._errors(path):
            head = self.client.head_object(Bucket=self._bucket, Key=self._key(path))
            return bool(head["Metadata"].get(_SHA) == entry.sha256)

    def put(self, source: Path, path: str, entry: Entry) -> None:
        with self._errors(path):
            self.client.upload_file(
                str(source),
                self._bucket,
                self._key(path),
                ExtraArgs={**self._hook.extra_args, "Metadata": {_SHA: entry.sha256}},
                Config=self._hook.transfer_config,
            )

    def write(self, path: str, data: bytes, *, new: bool) -> bool:
        from botocore.exceptions import ClientError

        target = {"Bucket": self._bucket, "Key": self._key(path), "Body": data, **self._hook.extra_args}
        with self._errors(path):
            if new:
                try:
                    self.client.put_object(**target, IfNoneMatch="*")
                    return True
                except ClientError as e:
                    if _status(e) in (409, 412):  # 409: somebody else's conditional write is under way
                        return False
                    if _status(e) != 501:  # an S3 clone without conditional writes
                        raise
            self.client.put_object(**target)
            return True

    def remove(self, path: str) -> None:
        with self._errors(path):
            self.client.delete_object(Bucket=self._bucket, Key=self._key(path))

    def get(self, path: str, target: Path) -> None:
        with self._errors(path):
            self.client.download_file(self._bucket, self._key(path), str(target), Config=self._hook.transfer_config)

    def _key(self, path: str) -> str:
        return "/".join(p for p in (self._prefix, path) if p)

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        from boto3.exceptions import S3UploadFailedError
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError

        where = f"s3://{self._bucket}/{self._key(path)}"
        try:
            yield
        except S3UploadFailedError as e:
            cause = e.__cause__ or e.__context__
            raise (_translated(where, cause) if isinstance(cause, ClientError) else Unavailable(f"{where}: {e}")) from e
        except ClientError as e:
            raise _translated(where, e) from e
        except NoCredentialsError as e:
            raise AccessDenied(f"{where}: no credentials; make an Airflow connection of type aws and name it by conn_id") from e
        except ParamValidationError as e:
            raise BadInput(where, str(e)) from e
        except BotoCoreError as e:
            raise Unavailable(f"{where}: {e}") from e


def _status(error: Any) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _translated(where: str, error: Any) -> PlatformError:
    status, code = _status(error), error.response.get("Error", {}).get("Code", "")
    text = f"{where}: {error}"
    if status in (401, 403):
        return AccessDenied(
            f"{text} (needed: s3:ListBucket on the bucket, s3:GetObject and s3:PutObject on the prefix)", status=status
        )
    if status == 404:
        return NotFound(f"{text}; no such bucket" if code == "NoSuchBucket" else text, status=404)
    return Rejected(text, status=status) if 400 <= status < 500 and status != 429 else Unavailable(text, status=status)
