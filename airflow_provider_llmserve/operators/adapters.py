"""Attach and detach one adapter of a served model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_llmserve.operators._change import ChangeOperator

if TYPE_CHECKING:
    from airflow.sdk import XComArg

    from airflow_provider_llmserve.specs import ServeSpec


class AttachAdapterOperator(ChangeOperator):
    """Add one adapter to a served model, the others untouched, and succeed when it answers by its name on every replica.

    A new version of an adapter is a new name (``UploadAdapterOperator`` puts the digest into it): attach the new one, judge
    it, switch the callers, detach the old one. Changing the URL under one name is refused: KubeAI calls the new one loaded while
    the old weights answer, and vLLM's own way (``load_inplace``) changes what callers of the name get while they work.
    Parameters beyond this as in
    :class:`~airflow_provider_llmserve.operators._change.ChangeOperator`.

    :param adapter: ``{"name": …, "url": …}``, or an upload task's output. (templated)
    """

    template_fields: Sequence[str] = (*ChangeOperator.template_fields, "adapter")

    def __init__(self, *, adapter: Mapping[str, Any] | XComArg | str, **kwargs: Any):
        super().__init__(**kwargs)
        self.adapter = adapter

    def edit(self, spec: ServeSpec, stopped: bool) -> tuple[ServeSpec, bool]:
        from airflow_provider_llmserve.specs import Adapter
        from airflow_provider_llmserve.specs.changes import with_adapter

        return with_adapter(spec, Adapter.parse(self.adapter, "adapter")), stopped


class DetachAdapterOperator(ChangeOperator):
    """Take one adapter off a served model, the others untouched; it succeeds when no replica lists its name any more.

    The name is free then, the memory may not be: vLLM forgets the name and keeps the weights in their slot until another adapter
    needs it (vllm #54839, still so in 0.33).

    :param adapter: the adapter's name, or its stem before the digest where only one has it, or an upload task's output.
        (templated)
    """

    template_fields: Sequence[str] = (*ChangeOperator.template_fields, "adapter")

    def __init__(self, *, adapter: str | Mapping[str, Any] | XComArg, **kwargs: Any):
        super().__init__(**kwargs)
        self.adapter: Any = adapter

    def edit(self, spec: ServeSpec, stopped: bool) -> tuple[ServeSpec, bool]:
        from airflow_provider_llmserve.specs.changes import without_adapter

        return without_adapter(spec, self.adapter if isinstance(self.adapter, str) else self.adapter["name"]), stopped
