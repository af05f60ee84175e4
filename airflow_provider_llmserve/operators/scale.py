"""Scale, stop and resume a served model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_llmserve.operators._change import ChangeOperator

if TYPE_CHECKING:
    from airflow.sdk import XComArg

    from airflow_provider_llmserve.specs import ServeSpec


class ScaleOperator(ChangeOperator):
    """Change how many replicas serve. What is not named stays as it is.

    On KubeAI-text a fixed ``replicas`` pins the number (autoscaling off); naming bounds turns autoscaling on again.
    On a stopped run the new figures hold from its resume on. Parameters beyond these as in
    :class:`~airflow_provider_llmserve.operators._change.ChangeOperator`.

    :param replicas: a fixed number of replicas. (templated)
    :param min_replicas: lower bound of the autoscaler; 0 allows scaling to zero where the runtime can. (templated)
    :param max_replicas: upper bound of the autoscaler. (templated)
    :param target_requests: requests in flight that one replica should have (KubeAI-text). (templated)
    :param scale_down_delay_seconds: seconds before a replica too many is taken away (KubeAI-text). (templated)
    """

    template_fields: Sequence[str] = (
        *ChangeOperator.template_fields,
        "replicas",
        "min_replicas",
        "max_replicas",
        "target_requests",
        "scale_down_delay_seconds",
    )

    def __init__(
        self,
        *,
        replicas: int | str | XComArg | None = None,
        min_replicas: int | str | XComArg | None = None,
        max_replicas: int | str | XComArg | None = None,
        target_requests: int | str | XComArg | None = None,
        scale_down_delay_seconds: int | str | XComArg | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.replicas = replicas
        self.min_replicas = min_replicas
        self.max_replicas = max_replicas
        self.target_requests = target_requests
        self.scale_down_delay_seconds = scale_down_delay_seconds

    def edit(self, spec: ServeSpec, stopped: bool) -> tuple[ServeSpec, bool]:
        from airflow_provider_llmserve.specs import KubeAIText
        from airflow_provider_llmserve.specs.changes import scaled

        if self.replicas is not None and isinstance(spec, KubeAIText):
            self.log.info("replicas=%s pins the number: autoscaling is off until bounds are named again", self.replicas)
        return scaled(
            spec,
            replicas=_number(self.replicas, "replicas"),
            min_replicas=_number(self.min_replicas, "min_replicas"),
            max_replicas=_number(self.max_replicas, "max_replicas"),
            target_requests=_number(self.target_requests, "target_requests"),
            scale_down_delay_seconds=_number(self.scale_down_delay_seconds, "scale_down_delay_seconds"),
        ), stopped


class StopOperator(ChangeOperator):
    """Take all replicas away and keep the configuration, until :class:`ResumeOperator`. Returns when no pod is left."""

    def edit(self, spec: ServeSpec, stopped: bool) -> tuple[ServeSpec, bool]:
        return spec, True


class ResumeOperator(ChangeOperator):
    """Serve again what was stopped, with the replicas it had."""

    def edit(self, spec: ServeSpec, stopped: bool) -> tuple[ServeSpec, bool]:
        return spec, False


def _number(value: Any, field: str) -> int | None:
    from airflow_provider_llmserve.errors import BadInput

    if value is None or isinstance(value, int):
        return value
    try:
        return int(value)  # templates render to text
    except (TypeError, ValueError):
        raise BadInput(field, f"is no whole number: {value!r}") from None
