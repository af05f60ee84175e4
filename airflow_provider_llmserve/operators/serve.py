"""Deploy or update a served model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_llmserve.links import EndpointLink
from airflow_provider_llmserve.operators._base import PlatformOperator, airflow_errors, owner_of, positive, returned, seconds

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_provider_llmserve.platforms.base import Platform, ServingRun
    from airflow_provider_llmserve.platforms.lifecycle import AtZero
    from airflow_provider_llmserve.specs import ServeSpec


class ServeOperator(PlatformOperator):
    """Deploy or update a served model, and succeed only when this very change answers; use one of the two subclasses.

    The same name redeployed updates in place, without downtime. A failed first deployment leaves nothing behind, a failed
    update leaves the last good one serving. Returns an endpoint (see :class:`airflow_provider_llmserve.endpoint.Endpoint`).

    :param spec: what to serve: a mapping, a spec object, a ``.yaml`` file, or a DigitalHub function and run document.
        Templated; checked after rendering. (templated)
    :param name: the serving run's name; the spec's ``model_name`` by default. A template asks for a fresh one. (templated)
    :param wait: return when it is proven ready; False returns once it is written (wait with ``EndpointReadySensor``).
    :param ttl: seconds or a timedelta after which ``SweepOperator`` may take it away, counted from its last deployment or
        change; None: never. For what no teardown reaches: a deleted DAG, a run that was abandoned.
    :param timeout: how long to wait, in seconds or as a timedelta.
    :param at_zero: what to do with a model that is at zero by design: ``accept`` it (``proven`` is then false in what is
        returned), ``wake`` it by one request, or ``refuse`` it, which is a failure.
    :param smoke: answers that the model must give before it counts as served: a list of ``{prompt, contains}`` or
        ``{prompt, regex}``, asked by the base's name at temperature 0. A wrong one is a failure like any other. (templated)
    :param on_failure: ``rollback`` takes a failed change back, ``keep`` leaves it for inspection.
    :param adopt: take over an object of that name which this package did not make, or which another DAG or another Airflow
        instance deployed. What its former managers set is taken over or removed; where that fails it is given back as it was.
    """

    template_fields: Sequence[str] = ("spec", "name", "smoke", "llmserve_conn_id")
    template_ext: Sequence[str] = (".yaml", ".yml")
    template_fields_renderers = {"spec": "json"}
    operator_extra_links = (EndpointLink(),)
    spec_kind: str

    def __init__(
        self,
        *,
        spec: Mapping[str, Any] | ServeSpec | XComArg | str,
        name: str | XComArg | None = None,
        wait: bool = True,
        timeout: float | timedelta = 1800,
        at_zero: AtZero = "accept",
        on_failure: Literal["rollback", "keep"] = "rollback",
        adopt: bool = False,
        ttl: float | timedelta | None = None,
        smoke: Sequence[Mapping[str, Any]] | XComArg = (),
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.spec = spec
        self.name: Any = name
        self.wait = wait
        self.timeout = timeout
        self.at_zero = at_zero
        self.on_failure = on_failure
        self.adopt = adopt
        self.ttl = ttl
        self.smoke = smoke

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_llmserve.platforms.base import Want
        from airflow_provider_llmserve.platforms.lifecycle import serve
        from airflow_provider_llmserve.specs import parse_spec
        from airflow_provider_llmserve.specs.smoke import parse_smoke

        def remember(run: ServingRun) -> None:
            if (store := context.get("task_state_store")) is not None:
                store.set("llmserve_run", {"kind": run.kind, "name": run.name, "namespace": run.namespace, "uid": run.uid})

        with airflow_errors():
            spec = parse_spec(self.spec, self.spec_kind)
            smoke = parse_smoke(self.smoke)
            want = Want(
                spec=spec,
                name=self.name or spec.object_name,
                owner=owner_of(context),
                adopt=self.adopt,
                ttl=None if self.ttl is None else positive(self.ttl, "ttl"),
            )

            async def verb(platform: Platform) -> Any:
                return await serve(
                    platform,
                    want,
                    timeout=seconds(self.timeout),
                    wait=self.wait,
                    on_failure=self.on_failure,
                    at_zero=self.at_zero,
                    on_applied=remember,
                    smoke=smoke,
                )

            endpoint, conn_id = self.on_platform(verb)
        self.endpoint_returned = returned(endpoint, conn_id)
        return self.endpoint_returned


class KubeAITextServeOperator(ServeOperator):
    """Serve a model through KubeAI's gateway (DigitalHub ``kubeai-text``), with LoRA adapters and autoscaling.

    See :class:`ServeOperator` for the parameters, :class:`airflow_provider_llmserve.specs.KubeAIText` for the spec.
    """

    spec_kind = "kubeai-text"


class HuggingFaceServeOperator(ServeOperator):
    """Serve a standalone model behind its own Service (DigitalHub ``huggingfaceserve``).

    See :class:`ServeOperator` for the parameters, :class:`airflow_provider_llmserve.specs.HuggingFaceServe` for the spec.
    """

    spec_kind = "huggingfaceserve"
