"""The frozen words of a verdict, as data: one row a word.

A cause that stays with the same input is impossible, one that Kubernetes or the server tries again by itself is waiting. Rows may
be added; a word is never renamed, and never changes its class, without an entry in the changelog
(``tests/pure/test_readiness_reasons.py`` holds the list).
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_llmserve.readiness.state import ReasonClass


@dataclass(frozen=True)
class Reason:
    """One word of the contract."""

    word: str
    reason_class: ReasonClass
    retry: bool
    """Whether the same task, run again unchanged, can succeed."""
    meaning: str
    advice: str = ""
    """What to do."""

    @property
    def impossible(self) -> bool:
        """Whether it ends a wait at once."""
        return self.reason_class is ReasonClass.IMPOSSIBLE


WAITING, IMPOSSIBLE, STOPPED, DONE = ReasonClass.WAITING, ReasonClass.IMPOSSIBLE, ReasonClass.STOPPED, ReasonClass.DONE

# One row a line, however long.
# fmt: off

OUTCOMES = (
    Reason("proven", DONE, retry=True, meaning="Everything asked for is in effect and every served name answered."),
    Reason("scaled_to_zero", STOPPED, retry=True, meaning="No pod runs, because the spec allows none.", advice="Send a request to wake it, or raise the minimum."),
    Reason("stopped", STOPPED, retry=True, meaning="Stopped on request.", advice="Resume it."),
    Reason("superseded", IMPOSSIBLE, retry=False, meaning="Another writer changed the object after us.", advice="Look at who deploys the same name; use another name."),
    Reason("unmarked", IMPOSSIBLE, retry=False, meaning="It was deployed without a mark (adopted, or by an earlier version), so nothing tells whether its pods are of its last change.", advice="Deploy it again: the same spec writes the mark, which replaces its pods once."),
    Reason("mark_lost", IMPOSSIBLE, retry=False, meaning="Something in the cluster takes our mark away, so no pod can be told from one of another version.", advice="Let annotations under llmserve.airflow/ and the environment variable LLMSERVE_MARK through: look at mutating policies and webhooks, and at modelServerPods.jsonPatches in KubeAI's configuration."),
    Reason("gone", DONE, retry=True, meaning="The object and its pods do not exist."),
    Reason("disappeared", IMPOSSIBLE, retry=True, meaning="The object was deleted by somebody else.", advice="Find out who deleted it, then deploy again."),
    Reason("deleting", WAITING, retry=True, meaning="The object is being deleted; pods may still hold their GPUs."),
    Reason("finalizer_stuck", WAITING, retry=True, meaning="The object waits for a finalizer that nobody removes.", advice="Repair the controller that owns the finalizer, or remove the finalizer yourself."),
)

ROLLOUT = (
    Reason("not_applied", WAITING, retry=True, meaning="The object is not visible yet."),
    Reason("starting", WAITING, retry=True, meaning="Pods of the asked version are starting."),
    Reason("pods_missing", WAITING, retry=True, meaning="Fewer pods exist than were asked for."),
    Reason("old_version_serves", WAITING, retry=True, meaning="The version before ours still serves."),
    Reason("old_pod_still_serves", WAITING, retry=True, meaning="Ours serves, and a pod of another version still does."),
    Reason("surplus_pod", WAITING, retry=True, meaning="More pods serve than were asked for."),
    Reason("stopping", WAITING, retry=True, meaning="Pods are ending, as asked."),
    Reason("container_restarting", WAITING, retry=True, meaning="A container ended and is started again.", advice="Read its log if it happens again."),
    Reason("readiness_failing", WAITING, retry=True, meaning="The server runs but fails its readiness probe.", advice="If it lasts: more replicas, or a longer probe limit."),
    Reason("controller_behind", WAITING, retry=True, meaning="The controller has not seen our change yet.", advice="If it lasts: check that the controller runs."),
    Reason("controller_not_running", WAITING, retry=True, meaning="No controller acts on the object.", advice="Check that the controller manager runs and leads."),
    Reason("manager_not_running", WAITING, retry=True, meaning="KubeAI's manager does not renew its lease.", advice="Check the manager's pod: kubectl get pods -l app.kubernetes.io/name=kubeai."),
    Reason("namespace_not_watched", IMPOSSIBLE, retry=False, meaning="KubeAI's manager does not watch this namespace.", advice="Deploy into the namespace that the manager runs in."),
    Reason("paused", WAITING, retry=True, meaning="Somebody paused the rollout.", advice="kubectl rollout resume, or ask who paused it."),
    Reason("rollout_deadlock", WAITING, retry=True, meaning="The new pod waits for a GPU or room that the old pod holds.", advice='Use strategy "in_place" or "recreate" (downtime), or add a spare GPU.'),
    Reason("not_observed", WAITING, retry=True, meaning="The cluster cannot be seen at the moment.", advice="If it lasts: check the connection and its permissions."),
    Reason("not_asked", WAITING, retry=True, meaning="The objects look right; the served names were not asked yet."),
    Reason("smoke_failed", IMPOSSIBLE, retry=False, meaning="The model answers, and not what the reference answer (smoke) asks for.", advice="Look at the answer: another dtype, chat template or quantization may be at fault, or the reference itself."),
    Reason("foreign_backend", WAITING, retry=True, meaning="The Service leads to pods that are not of this serving run.", advice="Take our labels (app.kubernetes.io/instance) from the other pods, or give the Service its selector back by deploying again."),
    Reason("not_answering", WAITING, retry=True, meaning="The objects look right, but a served name does not answer.", advice="Read the server's log."),
    Reason("wrong_answer", WAITING, retry=True, meaning="A served name was answered by something other than what was asked for."),
)

KUBEAI = (
    Reason("adapter_not_loaded", WAITING, retry=True, meaning="An adapter is not loaded on every pod yet.", advice="If it lasts: check the adapter's name and URL."),
    Reason("adapter_rejected", IMPOSSIBLE, retry=False, meaning="The model server refuses the adapter; KubeAI says so in its manager's log alone.", advice="Check the adapter's rank, modules and base model against the server's arguments."),
    Reason("adapter_download_failed", WAITING, retry=True, meaning="KubeAI's loader cannot fetch the adapter; KubeAI tries again for ever.", advice="Check the adapter's URL and the credentials for it."),
    Reason("adapter_still_loaded", WAITING, retry=True, meaning="An adapter that was taken out still answers."),
    Reason("adapter_old_weights", WAITING, retry=True, meaning="The old weights of an adapter still answer under its name.", advice="Publish a new version of an adapter under a new name."),
    Reason("adapter_lost", WAITING, retry=True, meaning="The container restarted and lost its adapter; the pod's label stays.", advice="Delete the pod, or serve the adapter under a new name."),
    Reason("adapter_name_invalid", IMPOSSIBLE, retry=False, meaning="The adapter's name makes no valid label, so it is never routed.", advice="Rename it: letters, digits and inner dashes."),
    Reason("duplicate_adapter_names", IMPOSSIBLE, retry=False, meaning="Two adapters have one name.", advice="Give every adapter a name of its own."),
    Reason("unknown_resource_profile", IMPOSSIBLE, retry=False, meaning="KubeAI's configuration does not know the resource profile.", advice="Use a profile of the ConfigMap kubeai-config."),
    Reason("unknown_cache_profile", IMPOSSIBLE, retry=False, meaning="KubeAI's configuration does not know the cache profile.", advice="Use a cacheProfile of the ConfigMap kubeai-config."),
    Reason("manager_rejects", WAITING, retry=True, meaning="KubeAI's manager saw the Model and makes no pod of it.", advice="Read the manager's log; the Model's status says nothing."),
    Reason("cache_loading", WAITING, retry=True, meaning="The model is being downloaded into the cache."),
    Reason("cache_load_failed", IMPOSSIBLE, retry=False, meaning="The download into the cache fails.", advice="Read the log of the Job load-cache-<model>."),
    Reason("cache_volume_pending", WAITING, retry=True, meaning="The cache's volume claim is not bound.", advice="Check the storage class of the cache profile."),
    Reason("replicas_absent", IMPOSSIBLE, retry=False, meaning="Autoscaling is off and no number of replicas is set, so there is none.", advice="Set scaling.replicas."),
    Reason("model_not_in_server", IMPOSSIBLE, retry=True, meaning="The server is ready and does not have the model.", advice="Delete the pod; check the model's name and the server's way to its registry."),
)

INFERENCESERVICE = (
    Reason("auto_update_disabled", IMPOSSIBLE, retry=False, meaning="serving.kserve.io/disable-auto-update makes KServe skip this update.", advice="Remove the annotation."),
    Reason("canary_ignored", IMPOSSIBLE, retry=False, meaning="KServe ignores canaryTrafficPercent in standard mode: the new revision has all the traffic.", advice="Leave it out, or use Knative mode."),
    Reason("revision_failed", IMPOSSIBLE, retry=True, meaning="Knative gave the new revision up: it was not ready within its progress deadline.", advice="Read what the revision's pods said; a model that loads longer needs more startup_seconds."),
    Reason("knative_missing", IMPOSSIBLE, retry=False, meaning="Knative mode is asked for and Knative is not installed.", advice="Use deployment_mode Standard."),
    Reason("min_replicas_raised", DONE, retry=True, meaning="KServe's autoscaler raised minReplicas 0 to 1.", advice="Ask for at least one replica."),
    Reason("name_too_long", IMPOSSIBLE, retry=False, meaning="Name and namespace together make no valid host name.", advice="Keep name + namespace within 52 characters."),
    Reason("no_matching_runtime", IMPOSSIBLE, retry=False, meaning="No serving runtime supports the model's format.", advice="Install one, or name it: serving_runtime."),
    Reason("unknown_runtime", IMPOSSIBLE, retry=False, meaning="The named serving runtime does not exist.", advice="kubectl get clusterservingruntimes."),
    Reason("runtime_disabled", IMPOSSIBLE, retry=False, meaning="The named serving runtime is disabled.", advice="Use another, or have it enabled."),
    Reason("storage_scheme_unknown", IMPOSSIBLE, retry=False, meaning="No storage container supports the model's URI scheme.", advice="Use a scheme that KServe can fetch."),
    Reason("unknown_mode", IMPOSSIBLE, retry=False, meaning="KServe does not know this deployment mode.", advice="Use Standard or Knative."),
    Reason("spec_invalid", IMPOSSIBLE, retry=False, meaning="The controller cannot render this spec.", advice="Read the condition's message."),
    Reason("reconcile_failed", WAITING, retry=True, meaning="The controller fails to act on the object.", advice="Read the condition's message and the controller's log."),
    Reason("write_refused", IMPOSSIBLE, retry=False, meaning="The API server refused the write.", advice="Read its answer."),
)

POD = (
    Reason("image_not_found", IMPOSSIBLE, retry=False, meaning="The image does not exist.", advice="Check its name and tag."),
    Reason("image_wrong_platform", IMPOSSIBLE, retry=False, meaning="The image is not built for the node's platform.", advice="Select nodes by kubernetes.io/arch, or use another image."),
    Reason("image_pull_denied", IMPOSSIBLE, retry=False, meaning="The registry refuses the pull.", advice="Give imagePullSecrets with the right to pull; an absent image looks alike."),
    Reason("image_pull_secret_missing", WAITING, retry=True, meaning="An image pull Secret does not exist.", advice="Create it in the namespace."),
    Reason("registry_unreachable", WAITING, retry=True, meaning="The node cannot reach the registry.", advice="Check the node's network, DNS and CA."),
    Reason("registry_rate_limited", WAITING, retry=True, meaning="The registry limits the rate of pulls.", advice="Log in to the registry, or use a mirror."),
    Reason("image_pull_failed", WAITING, retry=True, meaning="The image cannot be pulled.", advice="Read the message; Kubernetes tries again."),
    Reason("image_name_invalid", IMPOSSIBLE, retry=False, meaning="The image's name is not valid.", advice="Correct it."),
    Reason("image_not_on_node", IMPOSSIBLE, retry=False, meaning="The image is not on the node, and imagePullPolicy is Never.", advice="Load it there, or allow pulling."),
    Reason("secret_missing", WAITING, retry=True, meaning="A Secret, or a key of it, does not exist.", advice="Create it in the namespace."),
    Reason("config_map_missing", WAITING, retry=True, meaning="A ConfigMap, or a key of it, does not exist.", advice="Create it in the namespace."),
    Reason("container_create_failed", WAITING, retry=True, meaning="The container cannot be created.", advice="Read the message; Kubernetes tries again."),
    Reason("driver_too_old", IMPOSSIBLE, retry=False, meaning="The node's GPU driver is too old for the image.", advice="A newer driver, or an older image."),
    Reason("gpu_runtime_broken", WAITING, retry=True, meaning="The node's GPU runtime does not work.", advice="Check the GPU operator and device plugin."),
    Reason("command_not_found", IMPOSSIBLE, retry=False, meaning="The image has no such command.", advice="Check command and image."),
    Reason("runs_as_root", IMPOSSIBLE, retry=False, meaning="The image's user is root, or has no number, and the pod may not run as root.", advice="An image whose USER is a number other than 0."),
    Reason("start_hook_failed", WAITING, retry=True, meaning="What is run after the container's start failed, and the kubelet ended the container.", advice="Look at who adds the hook: a service mesh, an admission policy."),
    Reason("gpu_device_lost", WAITING, retry=True, meaning="The node has fewer healthy GPUs than it promised.", advice="Check the device plugin."),
    Reason("sandbox_not_made", WAITING, retry=True, meaning="The node cannot make the pod's sandbox.", advice="Read the event: the node's network plugin, runtime or disk."),
    Reason("volume_not_mounted", WAITING, retry=True, meaning="A volume of the pod is not mounted.", advice="Read the event: the claim, its driver, the storage server's rights."),
    Reason("pod_not_started", WAITING, retry=True, meaning="Something said about the pod keeps it from starting.", advice="Read the message: kubectl describe pod."),
    Reason("volume_in_use", WAITING, retry=True, meaning="The volume is attached to another node.", advice='Use ReadWriteMany, or strategy "recreate".'),
    Reason("unschedulable", WAITING, retry=True, meaning="No node takes the pod.", advice="Read the scheduler's message."),
    Reason("unschedulable_gpu", WAITING, retry=True, meaning="No node has enough free GPUs.", advice="Ask for fewer, free one, or enlarge the pool."),
    Reason("unschedulable_cpu", WAITING, retry=True, meaning="No node has enough free CPU.", advice="Lower the request, or enlarge the pool."),
    Reason("unschedulable_memory", WAITING, retry=True, meaning="No node has enough free memory.", advice="Lower the request, or enlarge the pool."),
    Reason("unschedulable_disk", WAITING, retry=True, meaning="No node has enough free disk.", advice="Lower the request, or enlarge the pool."),
    Reason("unschedulable_node_selector", WAITING, retry=True, meaning="No node matches the selector or affinity.", advice="Compare it with the nodes' labels."),
    Reason("unschedulable_taint", WAITING, retry=True, meaning="Every node that fits is tainted.", advice="Add the toleration."),
    Reason("unschedulable_volume_zone", IMPOSSIBLE, retry=False, meaning="The volume is in a zone where no node fits.", advice="Use a volume in a zone that has such nodes."),
    Reason("pvc_missing", WAITING, retry=True, meaning="A volume claim does not exist.", advice="Create it in the namespace."),
    Reason("pvc_unbound", WAITING, retry=True, meaning="A volume claim is not bound.", advice="Look at the claim's events."),
    Reason("storage_class_missing", IMPOSSIBLE, retry=False, meaning="The claim's storage class does not exist.", advice="Name one that does: kubectl get storageclass."),
    Reason("scheduling_gated", WAITING, retry=True, meaning="A queue holds the pod back.", advice="Wait for the queue, or look at its quota."),
    Reason("quota_exceeded", WAITING, retry=True, meaning="The namespace's quota is used up.", advice="Free something, or have the quota raised."),
    Reason("quota_needs_limits", IMPOSSIBLE, retry=False, meaning="The namespace's quota demands limits.", advice="Set requests and limits."),
    Reason("limit_range", IMPOSSIBLE, retry=False, meaning="The namespace's limit range refuses the pod's resources.", advice="Keep within it: kubectl describe limitrange."),
    Reason("service_account_missing", WAITING, retry=True, meaning="The service account does not exist.", advice="Create it in the namespace."),
    Reason("pod_security", IMPOSSIBLE, retry=False, meaning="The namespace's pod security standard refuses the pod.", advice="Correct the security context."),
    Reason("webhook_down", WAITING, retry=True, meaning="An admission webhook does not answer.", advice="Check that webhook's pods: a controller that is down takes its webhook with it."),
    Reason("priority_class_missing", IMPOSSIBLE, retry=False, meaning="The priority class does not exist.", advice="Create it, or name another in priority_class."),
    Reason("runtime_class_missing", IMPOSSIBLE, retry=False, meaning="The runtime class does not exist.", advice="Create it, or name another in runtime_class."),
    Reason("node_selector_conflict", IMPOSSIBLE, retry=False, meaning="The namespace asks for other nodes than the pod.", advice="Change node_selector, or the namespace's annotation scheduler.alpha.kubernetes.io/node-selector."),
    Reason("policy_denied", IMPOSSIBLE, retry=False, meaning="An admission policy of the cluster refuses the pod.", advice="Read its text: it is the cluster's rule, not a fault."),
    Reason("webhook_denied", IMPOSSIBLE, retry=False, meaning="An admission webhook refused the request.", advice="Read its text."),
    Reason("pod_refused", WAITING, retry=True, meaning="The API server refuses the pod.", advice="Read the message; the controller tries again."),
)

KILLED = (
    Reason("out_of_memory", IMPOSSIBLE, retry=False, meaning="The kernel killed it: over its memory limit.", advice="Raise the memory limit; /dev/shm counts too."),
    Reason("liveness_killed", WAITING, retry=True, meaning="The kubelet killed it for failing its liveness probe.", advice="A longer probe limit; a busy server answers late."),
    Reason("startup_probe_failed", WAITING, retry=True, meaning="The kubelet killed it before it had started.", advice="Read its log first; then raise startup_seconds."),
    Reason("evicted", WAITING, retry=True, meaning="The pod was evicted.", advice="Read the message."),
    Reason("evicted_node_disk", WAITING, retry=True, meaning="The node ran out of disk and evicted the pod.", advice="Request ephemeral-storage."),
    Reason("evicted_node_memory", WAITING, retry=True, meaning="The node ran out of memory and evicted the pod.", advice="Set request = limit."),
    Reason("evicted_disk_limit", IMPOSSIBLE, retry=False, meaning="The pod used more disk than its limit.", advice="A larger disk."),
    Reason("node_pressure", WAITING, retry=True, meaning="The node was under pressure.", advice="Look at the node's conditions."),
    Reason("preempted", WAITING, retry=True, meaning="A pod of higher priority took its place.", advice="Give it a priority class."),
    Reason("node_lost", WAITING, retry=True, meaning="The pod's node stopped reporting.", advice="Look at the node; delete the pod to free its name."),
    Reason("node_shutdown", WAITING, retry=True, meaning="The pod's node was shut down."),
    Reason("pod_rejected", WAITING, retry=True, meaning="The node refuses the pod that was placed on it.", advice="Read the message: the node lacks what the pod asks for."),
    Reason("pod_failed", WAITING, retry=True, meaning="The pod ended.", advice="Read its status message."),
    Reason("crash_loop", IMPOSSIBLE, retry=True, meaning="The container ends again and again.", advice="Read its log: kubectl logs --previous."),
    Reason("crashed", IMPOSSIBLE, retry=False, meaning="The server crashed (segmentation fault).", advice="Another image; report it to the server's project."),
    Reason("cpu_too_old", IMPOSSIBLE, retry=False, meaning="The node's CPU lacks instructions that the image needs.", advice="Nodes with AVX-512, or another image."),
    Reason("shared_memory_too_small", IMPOSSIBLE, retry=False, meaning="Shared memory is too small.", advice="Mount a memory-backed /dev/shm."),
)

FETCH = (
    Reason("hub_gated", IMPOSSIBLE, retry=False, meaning="The repository is gated.", advice="401: give HF_TOKEN; 403: ask for access on the model's page."),
    Reason("hub_token_invalid", IMPOSSIBLE, retry=False, meaning="The hub refuses the token.", advice="Give a new HF_TOKEN."),
    Reason("hub_not_found_or_private", IMPOSSIBLE, retry=False, meaning="The repository does not exist, or is private (the hub answers alike).", advice="Check the name; give HF_TOKEN."),
    Reason("hub_revision_not_found", IMPOSSIBLE, retry=False, meaning="The repository has no such revision.", advice="Check the revision."),
    Reason("hub_repo_disabled", IMPOSSIBLE, retry=False, meaning="The repository is disabled.", advice="Use another model."),
    Reason("hub_rate_limited", WAITING, retry=True, meaning="The hub limits the rate of downloads.", advice="Give HF_TOKEN, or use a cache."),
    Reason("hub_unavailable", WAITING, retry=True, meaning="The hub answers with a server error.", advice="Try again later."),
    Reason("hub_offline_set", IMPOSSIBLE, retry=False, meaning="The server is set to work offline.", advice="Unset HF_HUB_OFFLINE, or bring the model along."),
    Reason("hub_unreachable", WAITING, retry=True, meaning="The hub cannot be reached, or gave no usable answer (429, 503 and a disabled repository end alike).", advice="Check egress, proxy and HF_ENDPOINT; read the log further up."),
    Reason("download_interrupted", WAITING, retry=True, meaning="The download broke off.", advice="Try again."),
    Reason("model_download_failed", IMPOSSIBLE, retry=False, meaning="The model cannot be fetched.", advice="Read the init container's log."),
    Reason("model_path_wrong", IMPOSSIBLE, retry=False, meaning="The model's path is not one the server can read.", advice="Check path and scheme."),
    Reason("disk_full", IMPOSSIBLE, retry=False, meaning="The volume is full.", advice="A larger volume."),
    Reason("cache_not_writable", IMPOSSIBLE, retry=False, meaning="The cache cannot be written.", advice="Set HF_HOME to a writable place, or fsGroup."),
    Reason("s3_no_credentials", IMPOSSIBLE, retry=False, meaning="No S3 credentials.", advice="Give them by Secret or service account."),
    Reason("s3_access_denied", IMPOSSIBLE, retry=False, meaning="S3 refuses access.", advice="Check keys and bucket policy."),
    Reason("s3_bad_request", IMPOSSIBLE, retry=False, meaning="S3 refuses the request: an expired token, or the wrong region.", advice="Renew the token; set the region."),
    Reason("s3_no_such_bucket", IMPOSSIBLE, retry=False, meaning="The bucket does not exist.", advice="Check its name and the endpoint."),
    Reason("s3_no_such_key", IMPOSSIBLE, retry=False, meaning="Nothing lies at the model's path.", advice="Check the path; upload the model."),
    Reason("s3_unreachable", WAITING, retry=True, meaning="S3 cannot be reached.", advice="Check the endpoint and egress."),
    Reason("s3_tls", IMPOSSIBLE, retry=False, meaning="S3's certificate is not trusted.", advice="Give the CA bundle."),
    Reason("s3_slow_down", WAITING, retry=True, meaning="S3 limits the rate.", advice="Try again later."),
    Reason("s3_wrong_endpoint", IMPOSSIBLE, retry=False, meaning="S3 redirects to another endpoint.", advice="Set the bucket's own endpoint and region."),
    Reason("http_unreachable", WAITING, retry=True, meaning="The model's web server cannot be reached.", advice="Check the URL and egress."),
    Reason("http_not_found", IMPOSSIBLE, retry=False, meaning="The model's URL does not exist.", advice="Check the URL."),
    Reason("loader_image_broken", IMPOSSIBLE, retry=False, meaning="KubeAI's loader image does not fit its own command.", advice="Use an older loader image."),
    Reason("ollama_model_not_found", IMPOSSIBLE, retry=False, meaning="Ollama's registry has no such model.", advice="Check name:tag."),
    Reason("ollama_too_old", IMPOSSIBLE, retry=False, meaning="The model needs a newer Ollama.", advice="Use a newer image."),
    Reason("ollama_registry_unreachable", WAITING, retry=True, meaning="Ollama's registry cannot be reached.", advice="Check egress."),
    Reason("ollama_denied", IMPOSSIBLE, retry=False, meaning="Ollama's registry refuses access.", advice="Check the model's name and your rights."),
)

SERVER = (
    Reason("invalid_flag", IMPOSSIBLE, retry=False, meaning="The server refuses a flag.", advice="Correct the arguments."),
    Reason("workers_unusable", IMPOSSIBLE, retry=False, meaning="The server cannot run several workers.", advice="Leave --workers out; use more replicas."),
    Reason("task_unknown", IMPOSSIBLE, retry=False, meaning="The task cannot be told, or is not supported.", advice="Set huggingface_task."),
    Reason("task_unfit", IMPOSSIBLE, retry=False, meaning="The model does not fit the task.", advice="Set another huggingface_task."),
    Reason("weights_misfit", IMPOSSIBLE, retry=False, meaning="The server made up weights that the task needs and the model lacks.", advice="Set the huggingface_task that the model was trained for, or give a model that was trained for this one."),
    Reason("architecture_unknown", IMPOSSIBLE, retry=False, meaning="The image does not know the model's architecture.", advice="A newer image."),
    Reason("image_incomplete", IMPOSSIBLE, retry=False, meaning="The image lacks a package that the server needs.", advice="Use the official image."),
    Reason("remote_code_needed", IMPOSSIBLE, retry=False, meaning="The model brings code of its own.", advice="Set trust_remote_code, if you trust it."),
    Reason("model_files_missing", IMPOSSIBLE, retry=False, meaning="Files of the model are missing.", advice="Check the path; is it an adapter or GGUF only?"),
    Reason("model_files_corrupt", IMPOSSIBLE, retry=False, meaning="A file of the model is damaged.", advice="Fetch or upload it again (a Git LFS pointer?)."),
    Reason("model_files_mismatch", IMPOSSIBLE, retry=False, meaning="The weights do not fit the configuration.", advice="Check that they belong together."),
    Reason("tokenizer_missing", IMPOSSIBLE, retry=False, meaning="The tokenizer cannot be loaded.", advice="Add the tokenizer's files."),
    Reason("chat_template_missing", IMPOSSIBLE, retry=False, meaning="The model has no chat template.", advice="Give --chat-template."),
    Reason("context_too_long", IMPOSSIBLE, retry=False, meaning="The asked context is longer than the model's own.", advice="Lower max_length."),
    Reason("quantization_unsupported", IMPOSSIBLE, retry=False, meaning="The quantisation does not fit weights, GPU or image.", advice="Other weights, GPU or image."),
    Reason("dtype_unsupported", IMPOSSIBLE, retry=False, meaning="The GPU cannot compute in this type.", advice="Use dtype half."),
    Reason("no_gpu", IMPOSSIBLE, retry=False, meaning="The server finds no GPU.", advice="Request one, or use a CPU image."),
    Reason("gpu_too_old", IMPOSSIBLE, retry=False, meaning="The image has no code for this GPU.", advice="Another GPU, or another image."),
    Reason("too_few_gpus", IMPOSSIBLE, retry=False, meaning="The pod has fewer GPUs than the server shall use.", advice="Tensor parallel size = the pod's GPUs."),
    Reason("tensor_parallel_indivisible", IMPOSSIBLE, retry=False, meaning="The model cannot be split over so many GPUs.", advice="Another tensor parallel size."),
    Reason("gpu_memory_taken", WAITING, retry=True, meaning="Another process holds the GPU's memory.", advice="Find it, or use another node."),
    Reason("kv_cache_too_small", IMPOSSIBLE, retry=False, meaning="No room for the key-value cache.", advice="Lower max_length, or raise --gpu-memory-utilization."),
    Reason("gpu_out_of_memory", IMPOSSIBLE, retry=False, meaning="The model does not fit the GPU.", advice="Quantise, use more GPUs, or lower --max-num-seqs."),
    Reason("port_in_use", IMPOSSIBLE, retry=False, meaning="The port is taken.", advice="Use another port."),
    Reason("gpu_communication", WAITING, retry=True, meaning="The GPUs cannot talk to each other.", advice="Check NCCL's settings and the node."),
    Reason("engine_dead", WAITING, retry=True, meaning="The engine died; the process lives and may still pass its probes.", advice="Delete the pod; probe the model's own path."),
    Reason("engine_start_failed", IMPOSSIBLE, retry=False, meaning="The engine did not start.", advice="Read the log above its last line."),
    Reason("feature_wrong", IMPOSSIBLE, retry=False, meaning="The model cannot do what its features say.", advice="For an embedding model: feature TextEmbedding only."),
)

ADAPTER = (
    Reason("lora_rank_too_large", IMPOSSIBLE, retry=False, meaning="The adapter's rank is above the server's limit.", advice="Raise --max-lora-rank."),
    Reason("lora_modules_unsupported", IMPOSSIBLE, retry=False, meaning="The adapter changes modules that the server cannot.", advice="Train it on supported modules."),
    Reason("lora_feature_unsupported", IMPOSSIBLE, retry=False, meaning="The adapter uses DoRA, a bias or modules_to_save.", advice="Train it without."),
    Reason("adapter_not_found", IMPOSSIBLE, retry=False, meaning="The server finds no adapter at the path.", advice="Check the path."),
    Reason("adapter_already_loaded", WAITING, retry=True, meaning="The adapter is loaded already."),
    Reason("lora_too_many", IMPOSSIBLE, retry=False, meaning="More adapters than the server holds.", advice="Raise --max-loras."),
    Reason("lora_not_enabled", IMPOSSIBLE, retry=False, meaning="The server runs without adapters.", advice="Add --enable-lora."),
    Reason("lora_unsupported_model", IMPOSSIBLE, retry=False, meaning="The model takes no adapters.", advice="Another base model."),
    Reason("adapter_base_mismatch", IMPOSSIBLE, retry=False, meaning="The adapter belongs to another base model.", advice="Serve it on the base it was trained on."),
)

# fmt: on

SECTIONS: tuple[tuple[str, tuple[Reason, ...]], ...] = (
    ("Outcomes", OUTCOMES),
    ("Rollout and proof", ROLLOUT),
    ("KubeAI", KUBEAI),
    ("InferenceService", INFERENCESERVICE),
    ("Pod never starts", POD),
    ("Killed or thrown out", KILLED),
    ("Fetching the model", FETCH),
    ("Server refuses to start", SERVER),
    ("Adapters", ADAPTER),
)
