"""What a serve task returns: where the model answers, by which names, and which deployment it is.

A plain dict in XCom (``endpoint.to_xcom()``), this model in code (``Endpoint.of(value)``). The keys are DigitalHub's
(``openai.baseUrl/model/modelUrl/engine/features/adapters``, ``service.url/urls``: run status of scc-digitalhub/digitalhub-core
0.14, K/models/OpenAIService.java and F/model/K8sServiceInfo.java) plus ours: ``openai.adapterModels`` and ``identity``.
No secret ever enters it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from airflow_provider_llmserve.adapters.naming import pick
from airflow_provider_llmserve.errors import BadInput
from airflow_provider_llmserve.names import kind_finding, name_finding
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.place import Place

if TYPE_CHECKING:
    import openai as openai_sdk

    from airflow_provider_llmserve.oip.client import OpenInferenceClient


__all__ = ["AdapterName", "Endpoint", "Identity", "OpenAIService", "Service"]


class _Wire(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, protected_namespaces=()
    )


class AdapterName(_Wire):
    """One adapter as DigitalHub lists it: its bare name."""

    name: str


class OpenAIService(_Wire):
    """The OpenAI-compatible face of an endpoint; absent for models that do not speak it (a classifier)."""

    base_url: str
    """Ends in ``/v1``: what an OpenAI client takes as ``base_url``."""
    model: str
    """The request name of the base model."""
    model_url: str = ""
    """Where the base model's weights came from."""
    engine: str | None = None
    features: tuple[str, ...] = ()
    adapters: tuple[AdapterName, ...] = ()
    adapter_models: dict[str, str] = Field(default_factory=dict)
    """Adapter name to request name: ``{"tuned-3f9a2c1d": "support_tuned-3f9a2c1d"}``."""


class Service(_Wire):
    """Where the endpoint answers HTTP, with scheme."""

    url: str
    urls: tuple[str, ...] = ()
    api_server: str | None = None
    """The Kubernetes connection through whose API server this is reached; None: directly. See ``Settings.access``."""


def _named(name: str) -> str:
    if finding := name_finding(name):
        raise ValueError(finding)
    return name


def _known(kind: str) -> str:
    if finding := kind_finding(kind):
        raise ValueError(finding)
    return kind


class Identity(_Wire):
    """Which deployment this is; what teardown, scale and the sensor compare before they touch anything."""

    platform: str
    """Its platform's name in ``registry``: ``local``, ``kubernetes``."""
    kind: Annotated[str, AfterValidator(_known)]
    """``kubeai-text`` or ``huggingfaceserve``."""
    runtime: str
    """``local``, ``kubeai``, ``deployment`` or ``inferenceservice``."""
    name: Annotated[str, AfterValidator(_named)]
    namespace: str = ""
    cluster: str = ""
    """UID of the namespace, which tells clusters apart; empty where the login may not read it."""
    host: str = ""
    state_dir: str = ""
    """Host and state folder of a local serving run."""
    uid: str = Field(min_length=1)
    spec_hash: str
    owner: Owner = Owner()
    connection: str = ""
    """The Airflow connection it was made with; other tasks use it where they are given none."""

    @property
    def place(self) -> Place:
        """Where it lives."""
        return Place(
            platform=self.platform, cluster=self.cluster, namespace=self.namespace, host=self.host, state_dir=self.state_dir
        )


class Endpoint(_Wire):
    """A served model.

    Its clients (:meth:`openai`, :meth:`async_openai`, :meth:`oip`) reach it as ``service.api_server`` says. Through the API
    server an answer comes whole, a streamed one too.
    """

    identity: Identity
    service: Service
    openai_service: OpenAIService | None = Field(default=None, alias="openai")
    oip_url: str | None = None
    """Base URL of the Open Inference Protocol (without ``/v2``), where the model speaks it."""
    oip_model: str | None = None
    """The model's name in that protocol; None: the deployment's own name."""
    task: str | None = None
    """The HuggingFace task of a HuggingFace-serve endpoint, as in its spec."""
    proven: bool = False
    """Whether every served name had answered when this was returned; not so without a wait, and for a model at zero."""

    @classmethod
    def of(cls, value: Any) -> Endpoint:
        """Read an endpoint from XCom's dict. Raises :class:`BadInput` where it is none."""
        if isinstance(value, Endpoint):
            return value
        try:
            return cls.model_validate(value)
        except ValidationError as e:
            findings = [f"{'.'.join(map(str, x['loc'])) or 'endpoint'}: {x['msg']}" for x in e.errors()]
            raise BadInput("endpoint (pass a serve task's output)", findings) from None

    def to_xcom(self) -> dict[str, Any]:
        """JSON-ready dict, keys in DigitalHub's spelling."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def request_name(self, adapter: str | None = None) -> str:
        """The ``model`` to put into a request: the base's, or that of ``adapter``.

        ``adapter`` is the name in the spec (``tuned-3f9a2c1d``) or its stem before the digest (``tuned``) where only one
        adapter has it. Raises :class:`BadInput` naming the adapters there are.
        """
        service = self._openai()
        if adapter is None:
            return service.model
        return service.adapter_models[pick(adapter, service.adapter_models, self.identity.name)]

    @property
    def oip_name(self) -> str:
        """The model's name in paths of the Open Inference Protocol."""
        return self.oip_model or self.identity.name

    def served_names(self) -> tuple[str, ...]:
        """Request names of the base and of every adapter."""
        if self.openai_service is None:
            return (self.oip_name,)
        return (self.openai_service.model, *self.openai_service.adapter_models.values())

    def openai(self, *, timeout: float = 60.0, **options: Any) -> openai_sdk.OpenAI:
        """A ready synchronous ``openai`` client. ``timeout`` is in seconds for one request."""
        import openai

        if self.service.api_server is not None and "http_client" not in options:
            from airflow_provider_llmserve.platforms.kubernetes.transport import http_client

            options["http_client"] = http_client(self.service.api_server)
        return openai.OpenAI(**self._client_options(timeout, options))

    def async_openai(self, *, timeout: float = 60.0, **options: Any) -> openai_sdk.AsyncOpenAI:
        """A ready asynchronous ``openai`` client. ``timeout`` is in seconds for one request."""
        import openai

        if self.service.api_server is not None and "http_client" not in options:
            from airflow_provider_llmserve.platforms.kubernetes.transport import async_http_client

            options["http_client"] = async_http_client(self.service.api_server)
        return openai.AsyncOpenAI(**self._client_options(timeout, options))

    def oip(self, **options: Any) -> OpenInferenceClient:
        """A ready client of the Open Inference Protocol: predictions of a classifier, a fill-mask or an embedding model.

        ``options`` are those of :class:`~airflow_provider_llmserve.oip.client.OpenInferenceClient`
        (``timeout``, ``retries``, ``concurrency``, ``batch_size``, ``transport``). Raises :class:`BadInput` where the model does
        not speak it.
        """
        # Like the openai package, the client is made here and lives elsewhere.
        from airflow_provider_llmserve.oip.client import OpenInferenceClient

        if self.oip_url is None:
            raise BadInput(self.identity.name, "does not speak the Open Inference Protocol; use endpoint.openai()")
        if self.task is None:
            raise BadInput(self.identity.name, "its task is not known here; name it in the spec (huggingface_task)")
        if self.service.api_server is not None and "transport" not in options:
            from airflow_provider_llmserve.platforms.kubernetes.transport import ApiServerTransport

            options["transport"] = ApiServerTransport(self.service.api_server)
        return OpenInferenceClient(self.oip_url, self.oip_name, self.task, **options)

    def _client_options(self, timeout: float, options: dict[str, Any]) -> dict[str, Any]:
        # The servers check no key, but the client insists on one.
        return {"base_url": self._openai().base_url, "api_key": "unused", "timeout": timeout, **options}

    def _openai(self) -> OpenAIService:
        if self.openai_service is None:
            raise BadInput(self.identity.name, f"does not speak the OpenAI protocol (task {self.task}); use endpoint.oip()")
        return self.openai_service
