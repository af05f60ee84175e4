"""Check a trained adapter and publish it under its digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, BaseOperator

from airflow_provider_llmserve.operators._base import airflow_errors

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg


class UploadAdapterOperator(BaseOperator):
    """Check a LoRA adapter and upload it to ``<destination>/<name>/sha256-<digest>/``, marker last.

    Returns ``{name, url, digest, base_model, rank, size}``, which goes straight into a spec's ``adapters``. The name carries
    eight digits of the digest (``tuned-3f9a2c1d``), since servers keep caches and files by name. Run again, it sends
    nothing; after an interruption, only what is missing. What is checked: ``docs/adapters.md``.

    :param source: a folder or URL as PEFT's ``save_pretrained`` wrote it, or a training task's output:
        ``{"path": …, "base_model": …, "name": …}``, the latter two optional. (templated)
    :param destination: a folder or URL; ``s3://`` needs the amazon provider, others what ObjectStoragePath needs. (templated)
    :param name: the adapter's name without the digest; default the training task's, else the folder's. (templated)
    :param base_model: the model that the adapter will be served on. An adapter of another base is refused; one that only
        names a folder of the training machine gets this name in the uploaded copy. (templated)
    :param max_rank: the server's ``--max-lora-rank``; a larger adapter is refused.
    :param conn_id: Airflow connection of the destination; else one in its URL (``s3://conn@bucket``), else ``aws_default``
        for ``s3://``. It is no part of the returned ``url``. (templated)
    """

    template_fields: Sequence[str] = ("source", "destination", "name", "base_model", "conn_id")
    ui_color = "#d7e8f7"

    def __init__(
        self,
        *,
        source: str | Mapping[str, Any] | XComArg,
        destination: str | XComArg,
        name: str | XComArg | None = None,
        base_model: str | XComArg | None = None,
        max_rank: int | None = None,
        conn_id: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.source: Any = source
        self.destination: Any = destination
        self.name: Any = name
        self.base_model: Any = base_model
        self.max_rank = max_rank
        self.conn_id = conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        from dataclasses import asdict

        from airflow_provider_llmserve.adapters.handover import read_handover
        from airflow_provider_llmserve.platforms.upload import upload_adapter

        with airflow_errors():
            handover = read_handover(self.source, name=self.name, base_model=self.base_model)
            uploaded = upload_adapter(handover, self.destination, max_rank=self.max_rank, conn_id=self.conn_id)
        self.log.info("%s (rank %d, %d bytes) is at %s", uploaded.name, uploaded.rank, uploaded.size, uploaded.url)
        result = asdict(uploaded)
        for outlet in self.outlets:
            if isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra = result
        return result
