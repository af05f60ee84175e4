"""How a failure shows itself, as data: a text found somewhere → a word of ``reason_table``. One row a cause and place.

Read in vLLM 0.8.5, 0.10.2, 0.24.0 and 0.33.0, huggingfaceserver and storage-initializer 0.20.0, Kubernetes 1.36.3, containerd
2.4, KServe 0.20.0, Ollama 0.11.11 and 0.33, Infinity 0.0.77, KubeAI 0.22.1, llama.cpp (xllamacpp 2026.10); most were seen in a
run. Add a row for a text that is not here yet, with its case in ``tests/pure/cases/texts.yaml``, then ``make docs``. The first
row that fits wins: one that hides a later one fails ``tests/pure/test_causes.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Place = Literal["log", "termination", "waiting", "terminated", "pod", "event", "condition", "model", "api", "http"]
Places = frozenset[Place]

LOG: Places = frozenset({"log"})
PRINTED: Places = frozenset({"log", "termination"})
"""What a container printed, or left as its termination message."""
WAITING: Places = frozenset({"waiting"})
"""A container's ``state.waiting``."""
TERMINATED: Places = frozenset({"terminated"})
"""A container's ``state.terminated`` or ``lastState.terminated``."""
TERMINATION: Places = frozenset({"termination"})
POD: Places = frozenset({"pod"})
"""``status.reason`` and ``status.message`` of a pod."""
EVENT: Places = frozenset({"event"})
CONDITION: Places = frozenset({"condition"})
MODEL: Places = frozenset({"model"})
"""``status.modelStatus.lastFailureInfo`` of an InferenceService."""
API: Places = frozenset({"api"})
"""An answer of the API server; controllers repeat it in FailedCreate events and ReplicaFailure."""
HTTP: Places = frozenset({"http"})
"""An answer of the model server."""

System = Literal[
    "any pod", "vllm", "huggingfaceserver", "storage-initializer", "kubeai-loader", "kubeai-manager", "ollama", "infinity",
    "kserve", "llama.cpp", "open-inference",
]  # fmt: skip
Systems = frozenset[System]

ANY_POD: Systems = frozenset({"any pod"})
"""Kubernetes about any pod, and any container in one."""
VLLM: Systems = frozenset({"vllm"})
HUGGINGFACESERVER: Systems = frozenset({"huggingfaceserver"})
STORAGE_INITIALIZER: Systems = frozenset({"storage-initializer"})
KUBEAI_LOADER: Systems = frozenset({"kubeai-loader"})
KUBEAI_MANAGER: Systems = frozenset({"kubeai-manager"})
OLLAMA: Systems = frozenset({"ollama"})
INFINITY: Systems = frozenset({"infinity"})
KSERVE: Systems = frozenset({"kserve"})
"""KServe's controller about an InferenceService."""
LLAMA_CPP: Systems = frozenset({"llama.cpp"})
"""A model server of the local platform."""
OPEN_INFERENCE: Systems = frozenset({"open-inference"})
"""huggingfaceserver's answers to an Open Inference request: it says 500 to most of its clients' mistakes."""

FAMILY: Mapping[str, Systems] = {
    "": ANY_POD | VLLM | HUGGINGFACESERVER | STORAGE_INITIALIZER | KUBEAI_LOADER | KUBEAI_MANAGER | OLLAMA | INFINITY,
    "vllm": ANY_POD | VLLM,
    "huggingfaceserver": ANY_POD | HUGGINGFACESERVER | VLLM | STORAGE_INITIALIZER,
    "storage-initializer": ANY_POD | STORAGE_INITIALIZER,
    "kubeai-loader": ANY_POD | KUBEAI_LOADER,
    "kubeai-manager": ANY_POD | KUBEAI_MANAGER,
    "ollama": ANY_POD | OLLAMA,
    "infinity": ANY_POD | INFINITY | VLLM,
    "kserve": KSERVE,
    "llama.cpp": LLAMA_CPP,
    "open-inference": OPEN_INFERENCE,
}
"""System to those whose rows are tried for it; "": some container, it is not known which.

huggingfaceserver runs vLLM inside and fetches as the storage initializer does.
"""


@dataclass(frozen=True, kw_only=True)
class Sign:
    """One way in which a failure shows itself."""

    system: Systems = ANY_POD
    """Who writes it; ``FAMILY`` says whose rows are tried for whom."""
    where: Places
    beside: tuple[str, ...] = ()
    """The ``reason`` field beside the text (or the exit code, or HTTP status), any of them; empty: whatever stands there."""
    texts: tuple[str, ...] = ()
    """Any of these, case ignored; ``…`` stands for up to 400 characters, line ends included; empty: ``beside`` is enough."""
    reason: str
    """The word for it."""
    advice: str | None = None
    """What to do, where the word's own advice does not say it."""


PULL = ("ErrImagePull", "ImagePullBackOff", "Failed", "")
CREATE = ("CreateContainerConfigError", "CreateContainerError", "FailedMount", "Failed")
RUN = ("RunContainerError", "StartError", "128", "Failed", "CrashLoopBackOff")
SCHEDULING = ("Unschedulable", "FailedScheduling")
EVICTION = ("Evicted", "TerminationByKubelet")

# One row a line, however long.
# fmt: off

STARTING = (
    Sign(where=WAITING | EVENT, beside=PULL, texts=("no match for platform in manifest",), reason="image_wrong_platform"),
    Sign(where=LOG, texts=("exec format error",), reason="image_wrong_platform"),
    Sign(where=WAITING | EVENT, beside=PULL, texts=("pull access denied", "401 unauthorized", "403 forbidden", "insufficient_scope"), reason="image_pull_denied"),
    Sign(where=WAITING | EVENT, beside=PULL, texts=("toomanyrequests", "429 too many requests"), reason="registry_rate_limited"),
    Sign(where=WAITING | EVENT, beside=PULL, texts=("pull…i/o timeout", "pull…connection refused", "pull…no such host", "pull…x509:", "pull…tls handshake timeout", "pull…timeout awaiting response headers"), reason="registry_unreachable"),
    Sign(where=WAITING | EVENT, beside=PULL, texts=("could not fetch content descriptor",), reason="image_pull_failed", advice="The registry has lost a part of the image: push it again."),
    Sign(where=WAITING | EVENT, beside=PULL, texts=("failed to pull and unpack image…: not found", "manifest unknown"), reason="image_not_found"),
    Sign(where=EVENT, beside=("FailedToRetrieveImagePullSecret",), reason="image_pull_secret_missing"),
    Sign(where=WAITING, beside=("InvalidImageName",), reason="image_name_invalid"),
    Sign(where=EVENT, beside=("InspectFailed",), texts=("invalid reference format",), reason="image_name_invalid"),
    Sign(where=WAITING | EVENT, beside=("ErrImageNeverPull",), reason="image_not_on_node"),
    Sign(where=WAITING, beside=("ErrImagePull", "ImagePullBackOff"), reason="image_pull_failed"),
    Sign(where=WAITING | EVENT, beside=CREATE, texts=('secret "…" not found', "couldn't find key…in secret", "references non-existent secret key"), reason="secret_missing"),
    Sign(where=WAITING | EVENT, beside=CREATE, texts=('configmap "…" not found', "couldn't find key…in configmap", "references non-existent config key"), reason="config_map_missing"),
    Sign(where=WAITING | TERMINATED | TERMINATION | EVENT, beside=RUN, texts=("unsatisfied condition: cuda>=",), reason="driver_too_old"),
    Sign(where=WAITING | TERMINATED | TERMINATION | EVENT, beside=RUN, texts=("unresolvable cdi devices", "nvml error", "libnvidia-ml.so"), reason="gpu_runtime_broken"),
    Sign(where=WAITING | TERMINATED | TERMINATION | EVENT, beside=RUN, texts=("executable file not found in $path", 'exec: "…": stat', 'exec: "…": permission denied'), reason="command_not_found"),
    Sign(where=WAITING | EVENT, beside=CREATE, texts=("runasnonroot and image", "breaks non-root policy"), reason="runs_as_root"),
    Sign(where=TERMINATED, beside=("StartError", "ContainerCannotRun"), reason="container_create_failed"),
    Sign(where=EVENT, beside=("FailedPostStartHook",), reason="start_hook_failed"),
    Sign(where=WAITING, beside=("CreateContainerConfigError", "CreateContainerError", "RunContainerError"), reason="container_create_failed"),
    Sign(where=POD, beside=("UnexpectedAdmissionError",), texts=("requested number of devices unavailable",), reason="gpu_device_lost"),
    Sign(where=EVENT, beside=("FailedAttachVolume",), texts=("multi-attach error",), reason="volume_in_use"),
    Sign(where=EVENT, beside=("FailedMount", "FailedAttachVolume", "FailedMapVolume"), reason="volume_not_mounted"),
    Sign(where=EVENT, beside=("FailedCreatePodSandBox",), texts=("no runtime for …is configured", "runtimehandler …not supported"), reason="gpu_runtime_broken", advice="The node has no such runtime handler: check its GPU operator or container toolkit, or the runtime class."),
    Sign(where=EVENT, beside=("FailedCreatePodSandBox",), texts=("memory limit too low", "cannot allocate memory"), reason="out_of_memory"),
    Sign(where=EVENT, beside=("FailedCreatePodSandBox",), reason="sandbox_not_made"),
    Sign(where=CONDITION, beside=("SchedulingGated",), reason="scheduling_gated"),
    Sign(where=CONDITION | EVENT, beside=SCHEDULING, texts=('persistentvolumeclaim "…" not found',), reason="pvc_missing"),
    Sign(where=CONDITION | EVENT, beside=SCHEDULING, texts=("unbound immediate persistentvolumeclaims",), reason="pvc_unbound"),
    Sign(where=CONDITION | EVENT, beside=SCHEDULING, texts=("insufficient nvidia.com/", "insufficient amd.com/", "insufficient habana.ai/", "insufficient gpu.intel.com/", "insufficient google.com/tpu"), reason="unschedulable_gpu"),
    Sign(where=CONDITION | EVENT, beside=SCHEDULING, texts=("insufficient cpu",), reason="unschedulable_cpu"),
    Sign(where=CONDITION | EVENT, beside=SCHEDULING, texts=("insufficient memory",), reason="unschedulable_memory"),
    Sign(where=CONDITION | EVENT, beside=SCHEDULING, texts=("insufficient ephemeral-storage",), reason="unschedulable_disk"),
    Sign(where=CONDITION | EVENT, beside=SCHEDULING, texts=("persistentvolume's node affinity", "volume node affinity conflict", "no available volume zone"), reason="unschedulable_volume_zone"),
    Sign(where=CONDITION | EVENT, beside=SCHEDULING, texts=("didn't match pod's node affinity/selector",), reason="unschedulable_node_selector"),
    Sign(where=CONDITION | EVENT, beside=SCHEDULING, texts=("untolerated taint",), reason="unschedulable_taint"),
    Sign(where=CONDITION | EVENT, beside=(*SCHEDULING, "SchedulerError"), reason="unschedulable"),
    Sign(where=EVENT, beside=("ProvisioningFailed",), texts=('storageclass.storage.k8s.io "…" not found',), reason="storage_class_missing"),
    Sign(where=EVENT, beside=("FailedBinding",), texts=("no storage class is set",), reason="storage_class_missing"),
)

REFUSED = (
    Sign(where=API, texts=("exceeded quota:",), reason="quota_exceeded"),
    Sign(where=API, texts=("must specify limits.", "must specify requests.", "must specify cpu", "must specify memory"), reason="quota_needs_limits"),
    Sign(where=API, texts=("maximum…usage per", "minimum…usage per", "max limit to request ratio per"), reason="limit_range"),
    Sign(where=API, texts=("error looking up service account",), reason="service_account_missing"),
    Sign(where=API, texts=("no priorityclass with name…was found",), reason="priority_class_missing"),
    Sign(where=API, texts=('runtimeclass "…" not found',), reason="runtime_class_missing"),
    Sign(where=API, texts=("conflicts with its namespace node label selector",), reason="node_selector_conflict"),
    Sign(where=API, texts=("violates podsecurity",), reason="pod_security"),
    Sign(where=API, texts=("unable to validate against any security context constraint",), reason="pod_security", advice="Grant the service account an SCC that allows what the message names."),
    Sign(where=API, texts=("failed calling webhook", "denied the request…i/o timeout", "denied the request…connection refused", "denied the request…no such host", "denied the request…deadline exceeded"), reason="webhook_down"),
    Sign(where=API, texts=("denied the request",), reason="webhook_denied"),
    Sign(where=API, texts=("validatingadmissionpolicy '…' denied request", "image policy webhook backend denied"), reason="policy_denied"),
    Sign(where=API, beside=("FailedCreate",), reason="pod_refused"),
)

KILLED = (
    Sign(where=TERMINATED, beside=("OOMKilled",), reason="out_of_memory"),
    Sign(system=VLLM, where=LOG, texts=("'enginecore': -9", "'enginecore_dp0': -9", "died with exit code -9", "died unexpectedly (exit code: -9"), reason="out_of_memory"),
    Sign(where=EVENT, beside=("Killing",), texts=("failed liveness probe, will be restarted",), reason="liveness_killed"),
    Sign(where=EVENT, beside=("Killing",), texts=("failed startup probe, will be restarted",), reason="startup_probe_failed"),
    Sign(where=POD | CONDITION, beside=EVICTION, texts=("exceeded its local ephemeral storage limit", "ephemeral local storage usage exceeds", "usage of emptydir volume"), reason="evicted_disk_limit"),
    Sign(where=POD | CONDITION, beside=EVICTION, texts=("low on resource: ephemeral-storage",), reason="evicted_node_disk"),
    Sign(where=POD | CONDITION, beside=EVICTION, texts=("low on resource: memory",), reason="evicted_node_memory"),
    Sign(where=POD | CONDITION, beside=EVICTION, texts=("the node had condition:",), reason="node_pressure"),
    Sign(where=POD | CONDITION, beside=("Terminated", "NodeShutdown", "TerminationByKubelet"), texts=("imminent node shutdown",), reason="node_shutdown"),
    Sign(where=POD | CONDITION, beside=("Evicted",), reason="evicted"),
    Sign(where=POD, texts=("pod was rejected:",), reason="pod_rejected"),
    Sign(where=CONDITION, beside=("PreemptionByScheduler",), reason="preempted"),
    Sign(where=EVENT, beside=("Preempted",), reason="preempted"),
    Sign(where=CONDITION, beside=("DeletionByTaintManager",), reason="node_lost"),
    Sign(where=POD, beside=("NodeLost",), reason="node_lost"),
    Sign(where=TERMINATED, beside=("ContainerStatusUnknown",), reason="node_lost"),
    Sign(where=EVENT, beside=("NodeNotReady",), reason="node_lost"),
    Sign(where=CONDITION | EVENT, texts=("node is not ready",), reason="node_lost"),
)

FETCH = (
    Sign(where=PRINTED, texts=("gatedrepoerror", "cannot access gated repo", "access a gated repo"), reason="hub_gated"),
    Sign(where=PRINTED, texts=("invalid credentials in authorization header",), reason="hub_token_invalid"),
    Sign(where=PRINTED, texts=("revision not found for url", "is not a valid git identifier"), reason="hub_revision_not_found"),
    Sign(where=PRINTED, texts=("disabledrepoerror",), reason="hub_repo_disabled"),
    Sign(where=PRINTED, texts=("http error 429 thrown", "rate limited. waiting", "429 too many requests for url", "429 client error"), reason="hub_rate_limited"),
    Sign(where=PRINTED, texts=("repository not found for url", "is not a valid model identifier", "repositorynotfounderror"), reason="hub_not_found_or_private"),
    Sign(where=PRINTED, texts=("http error 503 thrown", "http error 500 thrown", "http error 502 thrown", "http error 504 thrown", "server error '50"), reason="hub_unavailable"),
    Sign(where=PRINTED, texts=("peer closed connection without sending complete",), reason="download_interrupted"),
    Sign(where=PRINTED, texts=("outgoing traffic has been disabled", "offline mode is enabled"), reason="hub_offline_set"),
    Sign(where=PRINTED, texts=("repo id must be in the form", "repo id must use"), reason="model_path_wrong"),
    Sign(where=PRINTED, texts=("no space left on device",), reason="disk_full"),
    Sign(where=PRINTED, texts=("read-only file system", "[errno 13] permission denied"), reason="cache_not_writable"),
    Sign(system=STORAGE_INITIALIZER, where=PRINTED, texts=("invalid hugging face uri format", "cannot recognize storage type", "local path…does not exist"), reason="model_path_wrong"),
    Sign(system=STORAGE_INITIALIZER, where=PRINTED, texts=("huggingface resource '…' not found",), reason="hub_revision_not_found"),
    Sign(system=STORAGE_INITIALIZER, where=PRINTED, texts=("s3 authentication failed.",), reason="s3_no_credentials"),
    Sign(system=STORAGE_INITIALIZER, where=PRINTED, texts=("s3 error [403]", "(403) when calling the headobject"), reason="s3_access_denied"),
    Sign(system=STORAGE_INITIALIZER, where=PRINTED, texts=("s3 error [400]",), reason="s3_bad_request"),
    Sign(system=STORAGE_INITIALIZER, where=PRINTED, texts=("s3 error [503]",), reason="s3_slow_down"),
    Sign(system=STORAGE_INITIALIZER, where=PRINTED, texts=("maximum recursion depth exceeded",), reason="s3_wrong_endpoint"),
    Sign(system=STORAGE_INITIALIZER, where=PRINTED, texts=("s3 resource '…' not found",), reason="s3_no_such_bucket"),
    Sign(system=STORAGE_INITIALIZER, where=PRINTED, texts=("could not connect to the endpoint url",), reason="s3_unreachable"),
    Sign(system=STORAGE_INITIALIZER, where=PRINTED, texts=("ssl validation failed", "certificate_verify_failed"), reason="s3_tls"),
    Sign(system=STORAGE_INITIALIZER, where=PRINTED, texts=("no model found in", "(404) when calling the headobject"), reason="s3_no_such_key"),
    Sign(system=STORAGE_INITIALIZER, where=PRINTED, texts=("failed to connect to http endpoint",), reason="http_unreachable"),
    Sign(system=STORAGE_INITIALIZER, where=PRINTED, texts=("http resource not found at",), reason="http_not_found"),
    Sign(system=STORAGE_INITIALIZER, where=PRINTED, texts=("huggingface authentication failed.",), reason="hub_not_found_or_private"),
    Sign(system=KUBEAI_LOADER, where=PRINTED, texts=("(accessdenied)", "(invalidaccesskeyid)", "(signaturedoesnotmatch)", "(403) when calling"), reason="s3_access_denied"),
    Sign(system=KUBEAI_LOADER, where=PRINTED, texts=("(nosuchbucket)",), reason="s3_no_such_bucket"),
    Sign(system=KUBEAI_LOADER, where=PRINTED, texts=("(expiredtoken)", "(authorizationheadermalformed)"), reason="s3_bad_request"),
    Sign(system=KUBEAI_LOADER, where=PRINTED, texts=("unable to locate credentials",), reason="s3_no_credentials"),
    Sign(system=KUBEAI_LOADER, where=PRINTED, texts=("could not connect to the endpoint url",), reason="s3_unreachable"),
    Sign(system=KUBEAI_LOADER, where=PRINTED, texts=("huggingface-cli…no longer works",), reason="loader_image_broken"),
    Sign(system=OLLAMA, where=EVENT | LOG, texts=("pull model manifest: file does not exist",), reason="ollama_model_not_found"),
    Sign(system=OLLAMA, where=EVENT | LOG, texts=("pull model manifest: 412",), reason="ollama_too_old"),
    Sign(system=OLLAMA, where=EVENT | LOG, texts=("unauthorized: access denied",), reason="ollama_denied"),
    Sign(system=OLLAMA, where=EVENT | LOG, texts=("digest mismatch",), reason="download_interrupted"),
    Sign(system=OLLAMA, where=EVENT | LOG, texts=("pull model manifest:…dial tcp", "max retries exceeded"), reason="ollama_registry_unreachable"),
)

SERVER = (
    Sign(where=LOG, texts=("error: argument --", "unrecognized arguments:", "ambiguous option:"), reason="invalid_flag", advice="Correct the arguments; huggingfaceserver drops unknown flags silently."),
    Sign(system=HUGGINGFACESERVER, where=LOG, texts=("in <lambda>…keyerror: '",), reason="invalid_flag", advice="--backend is auto, huggingface or vllm."),
    Sign(system=HUGGINGFACESERVER, where=LOG, texts=("cannot pickle '_thread.lock'", "child process […died"), reason="workers_unusable"),
    Sign(system=HUGGINGFACESERVER, where=LOG, texts=("unsupported task:", "task couldn't be inferred", "task…is not supported"), reason="task_unknown"),
    Sign(system=HUGGINGFACESERVER, where=LOG, texts=("unrecognized configuration class",), reason="task_unfit"),
    Sign(system=HUGGINGFACESERVER, where=LOG, texts=("no module named 'vllm'",), reason="image_incomplete"),
    Sign(system=VLLM, where=LOG, texts=("trust_remote_code=true",), reason="remote_code_needed"),
    Sign(system=VLLM | OLLAMA, where=LOG, texts=("does not recognize this architecture", "are not supported for now", "was supported in vllm until", "failed to be inspected"), reason="architecture_unknown"),
    Sign(system=VLLM, where=LOG, texts=("should have a `model_type` key", "invalid repository id or local directory", "no file named model.safetensors", "no such file or directory:….safetensors", "cannot find any model weights"), reason="model_files_missing"),
    Sign(system=VLLM, where=LOG, texts=("error while deserializing header", "not a valid json file"), reason="model_files_corrupt"),
    Sign(system=VLLM, where=LOG, texts=("ignore_mismatched_sizes",), reason="model_files_mismatch"),
    Sign(system=VLLM, where=LOG, texts=("couldn't instantiate the backend tokenizer", "failed to load the tokenizer"), reason="tokenizer_missing"),
    Sign(system=VLLM, where=HTTP | LOG, texts=("default chat template is no longer allowed",), reason="chat_template_missing"),
    Sign(system=VLLM, where=LOG, texts=("is greater than the derived max_model_len",), reason="context_too_long"),
    Sign(system=VLLM, where=LOG, texts=("unknown quantization method", "does not match the quantization method", "not supported for the current gpu", "requires gptqmodel", "requires optimum"), reason="quantization_unsupported"),
    Sign(system=VLLM, where=LOG, texts=("bfloat16 is only supported",), reason="dtype_unsupported"),
    Sign(where=LOG, texts=("driver on your system is too old",), reason="driver_too_old"),
    Sign(where=LOG, texts=("failed to infer device type", "no cuda gpus are available", "found no nvidia driver"), reason="no_gpu"),
    Sign(where=LOG, texts=("no kernel image is available",), reason="gpu_too_old"),
    Sign(system=VLLM, where=LOG, texts=("is larger than the number of available gpus", "waiting for creating a placement group", "cannot provide a placement group"), reason="too_few_gpus"),
    Sign(system=VLLM, where=LOG, texts=("must be divisible by tensor parallel size",), reason="tensor_parallel_indivisible"),
    Sign(system=VLLM, where=LOG, texts=("less than desired gpu memory utilization",), reason="gpu_memory_taken"),
    Sign(system=VLLM, where=LOG, texts=("no available memory for the cache blocks", "larger than the available kv cache", "tokens that can be stored in kv cache", "cannot auto-fit max_model_len"), reason="kv_cache_too_small"),
    Sign(where=LOG, texts=("not enough gpu memory", "cuda out of memory"), reason="gpu_out_of_memory"),
    Sign(where=LOG, texts=("address already in use", "failed to bind to address"), reason="port_in_use"),
    Sign(system=VLLM, where=LOG, texts=("shared memory segment", "no available shared memory broadcast block"), reason="shared_memory_too_small"),
    Sign(where=LOG, texts=("nccl error",), reason="gpu_communication"),
    Sign(system=OLLAMA, where=EVENT | LOG, texts=("model requires more system memory",), reason="out_of_memory"),
    Sign(system=OLLAMA, where=EVENT | LOG, texts=("cudamalloc failed", "out of memory", "failed to allocate"), reason="gpu_out_of_memory"),
    Sign(system=OLLAMA, where=EVENT | LOG, texts=("unknown model architecture", "error loading model"), reason="architecture_unknown"),
    Sign(system=OLLAMA, where=EVENT | LOG, texts=("does not support generate",), reason="feature_wrong"),
    Sign(system=INFINITY, where=LOG, texts=("no such option:",), reason="invalid_flag"),
    Sign(system=INFINITY, where=LOG, texts=("filenotfounderror…/config.json'",), reason="model_files_missing"),
    Sign(system=INFINITY, where=LOG, texts=("indexerror: list index out of range",), reason="no_gpu", advice="Request a GPU, or set --device cpu."),
)

ADAPTER = (
    Sign(system=VLLM, where=LOG | HTTP, texts=("is greater than max_lora_rank",), reason="lora_rank_too_large"),
    Sign(system=VLLM, where=LOG | HTTP, texts=("expected target modules in", "unsupported lora weight"), reason="lora_modules_unsupported"),
    Sign(system=VLLM, where=LOG | HTTP, texts=("support dora", "modules_to_save", "adapter bias is not"), reason="lora_feature_unsupported"),
    Sign(system=VLLM, where=LOG | HTTP, texts=("no adapter found for",), reason="adapter_not_found"),
    Sign(system=VLLM, where=HTTP, texts=("has already been loaded",), reason="adapter_already_loaded"),
    Sign(system=VLLM, where=LOG, texts=("gpu lora slots", "no free lora slots", "must be >= max_loras"), reason="lora_too_many"),
    Sign(system=VLLM, where=HTTP, texts=("lora is not enabled",), reason="lora_not_enabled"),
    Sign(system=VLLM, where=LOG, texts=("does not support lora", "no supported lora modules"), reason="lora_unsupported_model"),
    Sign(system=VLLM, where=LOG | HTTP, texts=("the size of tensor a",), reason="adapter_base_mismatch"),
    Sign(system=VLLM, where=HTTP, beside=("404",), texts=("the model `…` does not exist", "model with name…does not exist"), reason="adapter_not_loaded"),
    Sign(system=KUBEAI_MANAGER, where=LOG, texts=("load vllm adapter…unexpected status code: 4",), reason="adapter_rejected"),
    Sign(system=KUBEAI_MANAGER, where=LOG, texts=("exec adapter load for pod",), reason="adapter_download_failed"),
    Sign(system=KUBEAI_MANAGER, where=LOG, texts=("resource profile not found:", "invalid resource profile:"), reason="unknown_resource_profile"),
    Sign(system=KUBEAI_MANAGER, where=LOG, texts=("cache profile not found:",), reason="unknown_cache_profile"),
)

GENERIC = (
    Sign(system=VLLM, where=LOG, texts=("typeerror: 'nonetype' object is not",), reason="architecture_unknown", advice="Give config.json its architectures, or set huggingface_task."),
    Sign(where=PRINTED, texts=("we couldn't connect to '", "can't load the configuration of", "trying to locate the files on the hub"), reason="hub_unreachable"),
    Sign(system=VLLM, where=LOG | HTTP, texts=("enginedeaderror", "enginecore encountered"), reason="engine_dead"),
    Sign(system=VLLM, where=LOG, texts=("engine core initialization failed", "workerproc initialization failed"), reason="engine_start_failed"),
    Sign(system=OLLAMA, where=EVENT | LOG, texts=("process has terminated", "timed out waiting for llama"), reason="engine_start_failed"),
    Sign(where=TERMINATED, beside=("127",), reason="command_not_found"),
    Sign(where=TERMINATED, beside=("139",), reason="crashed"),
    Sign(where=TERMINATED, beside=("132",), reason="cpu_too_old"),
    Sign(where=TERMINATED, beside=("135",), reason="shared_memory_too_small"),
)

INFERENCESERVICE = (
    Sign(system=KSERVE, where=MODEL, beside=("RuntimeNotRecognized",), reason="unknown_runtime"),
    Sign(system=KSERVE, where=MODEL, beside=("NoSupportingRuntime",), reason="no_matching_runtime"),
    Sign(system=KSERVE, where=MODEL, beside=("RuntimeDisabled",), reason="runtime_disabled"),
    Sign(system=KSERVE, where=CONDITION | EVENT, texts=("invalid domain name",), reason="name_too_long"),
    Sign(system=KSERVE, where=CONDITION | EVENT, texts=("storageuri not supported",), reason="storage_scheme_unknown"),
    Sign(system=KSERVE, where=CONDITION | EVENT, texts=("unsupported deployment mode",), reason="unknown_mode"),
    Sign(system=KSERVE, where=CONDITION | EVENT, texts=("knative services are not available",), reason="knative_missing"),
    Sign(system=KSERVE, where=CONDITION | EVENT, texts=("no servingruntimes or clusterservingruntimes with the name",), reason="unknown_runtime"),
    Sign(system=KSERVE, where=CONDITION | EVENT, texts=("no runtime found to support",), reason="no_matching_runtime"),
)

LOCAL = (
    Sign(system=LLAMA_CPP, where=LOG, texts=("wrong base model", "does not exist in base model", "arch mismatch", "missing one component", "failed to load lora"), reason="adapter_base_mismatch"),
    Sign(system=LLAMA_CPP, where=LOG, texts=("failed to open gguf", "failed to read magic", "failed to read key-value", "invalid magic"), reason="model_files_corrupt"),
    Sign(system=LLAMA_CPP, where=LOG, texts=("not within the file bounds", "key not found in model", "corrupted", "tensor…has invalid data", "found nan value"), reason="model_files_corrupt"),
)

REQUEST = (
    Sign(system=OPEN_INFERENCE, where=HTTP, texts=("tensors used as indices must be",), reason="task_unfit", advice="The text holds no mask token of this model."),
    Sign(system=OPEN_INFERENCE, where=HTTP, texts=("does not support inference",), reason="task_unfit", advice="This model has no prediction; ask it by the OpenAI protocol."),
)

# fmt: on

SECTIONS: tuple[tuple[str, tuple[Sign, ...]], ...] = (
    ("Pod never starts", STARTING),
    ("Refused by the API server", REFUSED),
    ("Killed or thrown out", KILLED),
    ("Fetching the model", FETCH),
    ("Server refuses to start", SERVER),
    ("Adapters", ADAPTER),
    ("Where nothing above says more", GENERIC),
    ("KServe about an InferenceService", INFERENCESERVICE),
    ("Model servers on this machine", LOCAL),
    ("Answers to an Open Inference request", REQUEST),
)

ROWS: tuple[Sign, ...] = tuple(row for _, rows in SECTIONS for row in rows)
