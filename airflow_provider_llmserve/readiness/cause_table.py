"""How a failed deployment shows itself, as data: text found where → word of ``reason_table``.

One row a cause and place, first match wins. Columns:

- *systems*: who writes the text (``""`` anybody), see ``causes.FAMILY``.
- *where*: ``L`` container log, ``T`` termination message, ``W`` ``state.waiting``, ``X`` ``terminated``, ``P`` the pod's own status,
  ``E`` event, ``C`` condition, ``A`` API answer (also in FailedCreate events and ReplicaFailure), ``H`` HTTP answer.
- *on*: the ``reason`` field beside the text (or the exit code, or HTTP status), any of them; empty: any.
- *texts*: substrings, case ignored; ``…`` stands for up to 400 characters, line ends included; empty: the *on* is enough.
- *reason*, and a *remedy* where the reason's own does not say it.

Read in vLLM 0.8.5, 0.10.2, 0.24.0 and 0.33.0, huggingfaceserver and storage-initializer 0.20.0, Kubernetes 1.36.3, containerd 2.4,
Ollama 0.11.11 and 0.33, Infinity 0.0.77, KubeAI 0.22.1; most were seen in a run. Add a row for a text that is not here yet; a row that hides a later one
fails ``tests/pure/test_causes.py``.
"""

from __future__ import annotations

Row = tuple[str, str, tuple[str, ...], tuple[str, ...], str, str]

PULL = ("ErrImagePull", "ImagePullBackOff", "Failed", "")
CREATE = ("CreateContainerConfigError", "CreateContainerError", "FailedMount", "Failed")
RUN = ("RunContainerError", "StartError", "128", "Failed", "CrashLoopBackOff")

# One row a line, however long.
# fmt: off

POD: tuple[Row, ...] = (
    ("", "WE", PULL, ("no match for platform in manifest",), "image_wrong_platform", ""),
    ("", "L", (), ("exec format error",), "image_wrong_platform", ""),
    ("", "WE", PULL, ("pull access denied", "401 unauthorized", "403 forbidden", "insufficient_scope"), "image_pull_denied", ""),
    ("", "WE", PULL, ("toomanyrequests", "429 too many requests"), "registry_rate_limited", ""),
    ("", "WE", PULL, ("pull…i/o timeout", "pull…connection refused", "pull…no such host", "pull…x509:", "pull…tls handshake timeout"), "registry_unreachable", ""),
    ("", "WE", PULL, ("failed to pull and unpack image…: not found", "manifest unknown"), "image_not_found", ""),
    ("", "E", ("FailedToRetrieveImagePullSecret",), (), "image_pull_secret_missing", ""),
    ("", "W", ("InvalidImageName",), (), "image_name_invalid", ""),
    ("", "W", ("ErrImageNeverPull",), (), "image_not_on_node", ""),
    ("", "W", ("ErrImagePull", "ImagePullBackOff"), (), "image_pull_failed", ""),
    ("", "WE", CREATE, ('secret "…" not found', "couldn't find key…in secret"), "secret_missing", ""),
    ("", "WE", CREATE, ('configmap "…" not found', "couldn't find key…in configmap"), "config_map_missing", ""),
    ("", "WXTE", RUN, ("unsatisfied condition: cuda>=",), "driver_too_old", ""),
    ("", "WXTE", RUN, ("unresolvable cdi devices", "nvml error", "libnvidia-ml.so"), "gpu_runtime_broken", ""),
    ("", "WXTE", RUN, ("executable file not found in $path",), "command_not_found", ""),
    ("", "W", ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"), (), "container_create_failed", ""),
    ("", "P", ("UnexpectedAdmissionError",), ("requested number of devices unavailable",), "gpu_device_lost", ""),
    ("", "E", ("FailedAttachVolume",), ("multi-attach error",), "volume_in_use", ""),
    ("", "C", ("SchedulingGated",), (), "scheduling_gated", ""),
    ("", "CE", ("Unschedulable", "FailedScheduling"), ('persistentvolumeclaim "…" not found',), "pvc_missing", ""),
    ("", "CE", ("Unschedulable", "FailedScheduling"), ("unbound immediate persistentvolumeclaims",), "pvc_unbound", ""),
    ("", "CE", ("Unschedulable", "FailedScheduling"), ("insufficient nvidia.com/", "insufficient amd.com/", "insufficient habana.ai/", "insufficient gpu.intel.com/", "insufficient google.com/tpu"), "unschedulable_gpu", ""),
    ("", "CE", ("Unschedulable", "FailedScheduling"), ("insufficient cpu",), "unschedulable_cpu", ""),
    ("", "CE", ("Unschedulable", "FailedScheduling"), ("insufficient memory",), "unschedulable_memory", ""),
    ("", "CE", ("Unschedulable", "FailedScheduling"), ("insufficient ephemeral-storage",), "unschedulable_disk", ""),
    ("", "CE", ("Unschedulable", "FailedScheduling"), ("persistentvolume's node affinity", "volume node affinity conflict", "no available volume zone"), "unschedulable_volume_zone", ""),
    ("", "CE", ("Unschedulable", "FailedScheduling"), ("didn't match pod's node affinity/selector",), "unschedulable_node_selector", ""),
    ("", "CE", ("Unschedulable", "FailedScheduling"), ("untolerated taint",), "unschedulable_taint", ""),
    ("", "CE", ("Unschedulable", "FailedScheduling"), (), "unschedulable", ""),
    ("", "E", ("ProvisioningFailed",), ('storageclass.storage.k8s.io "…" not found',), "storage_class_missing", ""),
    ("", "E", ("FailedBinding",), ("no storage class is set",), "storage_class_missing", ""),
)

REFUSED: tuple[Row, ...] = (
    ("", "A", (), ("exceeded quota:",), "quota_exceeded", ""),
    ("", "A", (), ("must specify limits.", "must specify requests.", "must specify cpu", "must specify memory"), "quota_needs_limits", ""),
    ("", "A", (), ("maximum…usage per", "minimum…usage per"), "limit_range", ""),
    ("", "A", (), ("error looking up service account",), "service_account_missing", ""),
    ("", "A", (), ("violates podsecurity",), "pod_security", ""),
    ("", "A", (), ("failed calling webhook",), "webhook_down", ""),
    ("", "A", (), ("denied the request",), "webhook_denied", ""),
    ("", "A", ("FailedCreate",), (), "pod_refused", ""),
)

KILLED: tuple[Row, ...] = (
    ("", "X", ("OOMKilled",), (), "out_of_memory", ""),
    ("vllm", "L", (), ("'enginecore': -9", "'enginecore_dp0': -9", "died with exit code -9", "died unexpectedly"), "out_of_memory", ""),
    ("", "E", ("Killing",), ("failed liveness probe, will be restarted",), "liveness_killed", ""),
    ("", "E", ("Killing",), ("failed startup probe, will be restarted",), "startup_probe_failed", ""),
    ("", "PC", ("Evicted", "TerminationByKubelet"), ("exceeded its local ephemeral storage limit", "ephemeral local storage usage exceeds", "usage of emptydir volume"), "evicted_disk_limit", ""),
    ("", "PC", ("Evicted", "TerminationByKubelet"), ("low on resource: ephemeral-storage",), "evicted_node_disk", ""),
    ("", "PC", ("Evicted", "TerminationByKubelet"), ("low on resource: memory",), "evicted_node_memory", ""),
    ("", "PC", ("Evicted", "TerminationByKubelet"), ("the node had condition:",), "node_pressure", ""),
    ("", "PC", ("Terminated", "NodeShutdown", "TerminationByKubelet"), ("imminent node shutdown",), "node_shutdown", ""),
    ("", "PC", ("Evicted",), (), "evicted", ""),
    ("", "C", ("PreemptionByScheduler",), (), "preempted", ""),
    ("", "E", ("Preempted",), (), "preempted", ""),
    ("", "C", ("DeletionByTaintManager",), (), "node_lost", ""),
    ("", "P", ("NodeLost",), (), "node_lost", ""),
    ("", "X", ("ContainerStatusUnknown",), (), "node_lost", ""),
    ("", "E", ("NodeNotReady",), (), "node_lost", ""),
    ("", "CE", (), ("node is not ready",), "node_lost", ""),
)

FETCH: tuple[Row, ...] = (
    ("", "LT", (), ("gatedrepoerror", "cannot access gated repo", "access a gated repo"), "hub_gated", ""),
    ("", "LT", (), ("invalid credentials in authorization header",), "hub_token_invalid", ""),
    ("", "LT", (), ("revision not found for url", "is not a valid git identifier"), "hub_revision_not_found", ""),
    ("", "LT", (), ("disabledrepoerror",), "hub_repo_disabled", ""),
    ("", "LT", (), ("http error 429 thrown", "rate limited. waiting", "429 too many requests for url", "429 client error"), "hub_rate_limited", ""),
    ("", "LT", (), ("repository not found for url", "is not a valid model identifier", "repositorynotfounderror"), "hub_not_found_or_private", ""),
    ("", "LT", (), ("http error 503 thrown", "http error 500 thrown", "http error 502 thrown", "http error 504 thrown", "server error '50"), "hub_unavailable", ""),
    ("", "LT", (), ("peer closed connection without sending complete",), "download_interrupted", ""),
    ("", "LT", (), ("outgoing traffic has been disabled", "offline mode is enabled"), "hub_offline_set", ""),
    ("", "LT", (), ("repo id must be in the form", "repo id must use"), "model_path_wrong", ""),
    ("", "LT", (), ("no space left on device",), "disk_full", ""),
    ("", "LT", (), ("read-only file system", "[errno 13] permission denied"), "cache_not_writable", ""),
    ("storage", "LT", (), ("invalid hugging face uri format", "cannot recognize storage type", "local path…does not exist"), "model_path_wrong", ""),
    ("storage", "LT", (), ("huggingface resource '…' not found",), "hub_revision_not_found", ""),
    ("storage", "LT", (), ("s3 authentication failed.",), "s3_no_credentials", ""),
    ("storage", "LT", (), ("s3 error [403]", "(403) when calling the headobject"), "s3_access_denied", ""),
    ("storage", "LT", (), ("s3 error [400]",), "s3_bad_request", ""),
    ("storage", "LT", (), ("s3 error [503]",), "s3_slow_down", ""),
    ("storage", "LT", (), ("maximum recursion depth exceeded",), "s3_wrong_endpoint", ""),
    ("storage", "LT", (), ("s3 resource '…' not found",), "s3_no_such_bucket", ""),
    ("storage", "LT", (), ("could not connect to the endpoint url",), "s3_unreachable", ""),
    ("storage", "LT", (), ("ssl validation failed", "certificate_verify_failed"), "s3_tls", ""),
    ("storage", "LT", (), ("no model found in", "(404) when calling the headobject"), "s3_no_such_key", ""),
    ("storage", "LT", (), ("failed to connect to http endpoint",), "http_unreachable", ""),
    ("storage", "LT", (), ("http resource not found at",), "http_not_found", ""),
    ("storage", "LT", (), ("huggingface authentication failed.",), "hub_not_found_or_private", ""),
    ("loader", "LT", (), ("(accessdenied)", "(invalidaccesskeyid)", "(signaturedoesnotmatch)", "(403) when calling"), "s3_access_denied", ""),
    ("loader", "LT", (), ("(nosuchbucket)",), "s3_no_such_bucket", ""),
    ("loader", "LT", (), ("(expiredtoken)", "(authorizationheadermalformed)"), "s3_bad_request", ""),
    ("loader", "LT", (), ("unable to locate credentials",), "s3_no_credentials", ""),
    ("loader", "LT", (), ("could not connect to the endpoint url",), "s3_unreachable", ""),
    ("loader", "LT", (), ("huggingface-cli…no longer works",), "loader_image_broken", ""),
    ("ollama", "EL", (), ("pull model manifest: file does not exist",), "ollama_model_not_found", ""),
    ("ollama", "EL", (), ("pull model manifest: 412",), "ollama_too_old", ""),
    ("ollama", "EL", (), ("unauthorized: access denied",), "ollama_denied", ""),
    ("ollama", "EL", (), ("digest mismatch",), "download_interrupted", ""),
    ("ollama", "EL", (), ("pull model manifest:…dial tcp", "max retries exceeded"), "ollama_registry_unreachable", ""),
)

SERVER: tuple[Row, ...] = (
    ("", "L", (), ("error: argument --", "unrecognized arguments:", "ambiguous option:"), "invalid_flag", "Correct the arguments; huggingfaceserver drops unknown flags silently."),
    ("hfs", "L", (), ("in <lambda>…keyerror: '",), "invalid_flag", "--backend is auto, huggingface or vllm."),
    ("hfs", "L", (), ("cannot pickle '_thread.lock'", "child process […died"), "workers_unusable", ""),
    ("hfs", "L", (), ("unsupported task:", "task couldn't be inferred", "task…is not supported"), "task_unknown", ""),
    ("hfs", "L", (), ("unrecognized configuration class",), "task_unfit", ""),
    ("hfs", "L", (), ("no module named 'vllm'",), "image_incomplete", ""),
    ("vllm", "L", (), ("trust_remote_code=true",), "remote_code_needed", ""),
    ("vllm ollama", "L", (), ("does not recognize this architecture", "are not supported for now", "was supported in vllm until", "failed to be inspected"), "architecture_unknown", ""),
    ("vllm", "L", (), ("should have a `model_type` key", "invalid repository id or local directory", "no file named model.safetensors", "no such file or directory:….safetensors", "cannot find any model weights"), "model_files_missing", ""),
    ("vllm", "L", (), ("error while deserializing header", "not a valid json file"), "model_files_corrupt", ""),
    ("vllm", "L", (), ("ignore_mismatched_sizes",), "model_files_mismatch", ""),
    ("vllm", "L", (), ("couldn't instantiate the backend tokenizer", "failed to load the tokenizer"), "tokenizer_missing", ""),
    ("vllm", "HL", (), ("default chat template is no longer allowed",), "chat_template_missing", ""),
    ("vllm", "L", (), ("is greater than the derived max_model_len",), "context_too_long", ""),
    ("vllm", "L", (), ("unknown quantization method", "does not match the quantization method", "not supported for the current gpu", "requires gptqmodel", "requires optimum"), "quantization_unsupported", ""),
    ("vllm", "L", (), ("bfloat16 is only supported",), "dtype_unsupported", ""),
    ("", "L", (), ("driver on your system is too old",), "driver_too_old", ""),
    ("", "L", (), ("failed to infer device type", "no cuda gpus are available", "found no nvidia driver"), "no_gpu", ""),
    ("", "L", (), ("no kernel image is available",), "gpu_too_old", ""),
    ("vllm", "L", (), ("is larger than the number of available gpus", "waiting for creating a placement group", "cannot provide a placement group"), "too_few_gpus", ""),
    ("vllm", "L", (), ("must be divisible by tensor parallel size",), "tensor_parallel_indivisible", ""),
    ("vllm", "L", (), ("less than desired gpu memory utilization",), "gpu_memory_taken", ""),
    ("vllm", "L", (), ("no available memory for the cache blocks", "larger than the available kv cache", "tokens that can be stored in kv cache", "cannot auto-fit max_model_len"), "kv_cache_too_small", ""),
    ("", "L", (), ("not enough gpu memory", "cuda out of memory"), "gpu_out_of_memory", ""),
    ("", "L", (), ("address already in use", "failed to bind to address"), "port_in_use", ""),
    ("vllm", "L", (), ("shared memory segment", "no available shared memory broadcast block"), "shared_memory_too_small", ""),
    ("", "L", (), ("nccl error",), "gpu_communication", ""),
    ("ollama", "EL", (), ("model requires more system memory",), "out_of_memory", ""),
    ("ollama", "EL", (), ("cudamalloc failed", "out of memory", "failed to allocate"), "gpu_out_of_memory", ""),
    ("ollama", "EL", (), ("unknown model architecture", "error loading model"), "architecture_unknown", ""),
    ("ollama", "EL", (), ("does not support generate",), "feature_wrong", ""),
    ("infinity", "L", (), ("no such option:",), "invalid_flag", ""),
    ("infinity", "L", (), ("filenotfounderror…/config.json'",), "model_files_missing", ""),
    ("infinity", "L", (), ("indexerror: list index out of range",), "no_gpu", "Request a GPU, or set --device cpu."),
)

ADAPTER: tuple[Row, ...] = (
    ("vllm", "LH", (), ("is greater than max_lora_rank",), "lora_rank_too_large", ""),
    ("vllm", "LH", (), ("expected target modules in", "unsupported lora weight"), "lora_modules_unsupported", ""),
    ("vllm", "LH", (), ("support dora", "modules_to_save", "adapter bias is not"), "lora_feature_unsupported", ""),
    ("vllm", "LH", (), ("no adapter found for",), "adapter_not_found", ""),
    ("vllm", "H", (), ("has already been loaded",), "adapter_already_loaded", ""),
    ("vllm", "L", (), ("gpu lora slots", "no free lora slots", "must be >= max_loras"), "lora_too_many", ""),
    ("vllm", "H", (), ("lora is not enabled",), "lora_not_enabled", ""),
    ("vllm", "L", (), ("does not support lora", "no supported lora modules"), "lora_unsupported_model", ""),
    ("vllm", "LH", (), ("the size of tensor a",), "adapter_base_mismatch", ""),
    ("vllm", "H", ("404",), ("the model `…` does not exist", "model with name…does not exist"), "adapter_not_loaded", ""),
    ("manager", "L", (), ("load vllm adapter…unexpected status code: 4",), "adapter_rejected", ""),
    ("manager", "L", (), ("exec adapter load for pod",), "adapter_download_failed", ""),
)

GENERIC: tuple[Row, ...] = (
    ("vllm", "L", (), ("typeerror: 'nonetype' object is not",), "architecture_unknown", "Give config.json its architectures, or set huggingface_task."),
    ("", "LT", (), ("we couldn't connect to '", "can't load the configuration of", "trying to locate the files on the hub"), "hub_unreachable", ""),
    ("vllm", "LH", (), ("enginedeaderror", "enginecore encountered"), "engine_dead", ""),
    ("vllm", "L", (), ("engine core initialization failed", "workerproc initialization failed"), "engine_start_failed", ""),
    ("ollama", "EL", (), ("process has terminated", "timed out waiting for llama"), "engine_start_failed", ""),
    ("", "X", ("139",), (), "crashed", ""),
    ("", "X", ("132",), (), "cpu_too_old", ""),
    ("", "X", ("135",), (), "shared_memory_too_small", ""),
)

# fmt: on

ROWS: tuple[Row, ...] = (*POD, *REFUSED, *KILLED, *FETCH, *SERVER, *ADAPTER, *GENERIC)
