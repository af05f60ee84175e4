"""One serving run and its controller, small enough to be played thousands of times.

Time is in seconds since the client's request. The API server's clock is right; a node's is off by ``node_skew``. The moves are
those of ``moves``: pods are made, become ready, flap, restart, die, are told to end and go; adapters are loaded and labelled; the
controller may be away for a while, and act late; others write.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from support.kubeai_pods import SYSTEM, pod_for

from airflow_provider_llmserve.owner import digest
from airflow_provider_llmserve.runtimes import runtime_for
from airflow_provider_llmserve.runtimes.kubeai.adapters import LABEL_PREFIX, url_hash
from airflow_provider_llmserve.runtimes.mark import ANNOTATION, in_environment
from airflow_provider_llmserve.settings import Settings
from airflow_provider_llmserve.specs import ServeSpec

Object = dict[str, Any]
EPOCH = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)
SETTINGS = Settings(platform="kubernetes", namespace="ns")


def stamp(t: float) -> str:
    """A time of the API server."""
    return (EPOCH + timedelta(seconds=t)).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Pod:
    """A pod, with what cannot be seen of it: whether its server hangs, and which weights it has in memory."""

    body: Object
    made: float
    ready: bool = False
    ending: bool = False
    dead: bool = False
    hangs: bool = False
    restarts: int = 0
    turned: float = 0.0
    started: float = 0.0
    weights: dict[str, str] = field(default_factory=dict)
    labels: dict[str, tuple[str, float]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def serves(self) -> bool:
        """It takes requests."""
        return self.ready and not self.ending and not self.dead

    def seen(self, node_skew: float) -> Object:
        """As the API server shows it."""
        found = copy.deepcopy(self.body)
        metadata = found["metadata"]
        metadata["labels"].update({LABEL_PREFIX + a: value for a, (value, _) in self.labels.items()})
        metadata["managedFields"] = [
            {"time": stamp(at), "fieldsV1": {"f:metadata": {"f:labels": {f"f:{LABEL_PREFIX}{a}": {}}}}}
            for a, (_, at) in self.labels.items()
        ]
        if self.ending:
            metadata["deletionTimestamp"] = stamp(self.made + 1000)
        running = {"running": {"startedAt": stamp(self.started + node_skew)}}
        last = {"terminated": {"exitCode": 137, "reason": "Error"}} if self.restarts else {}
        server = {"name": "server", "ready": self.ready, "restartCount": self.restarts, "state": running, "lastState": last}
        condition = {"type": "Ready", "status": str(self.ready), "lastTransitionTime": stamp(self.turned + node_skew)}
        found["status"] = {
            "phase": "Failed" if self.dead else "Running",
            "conditions": [condition],
            "containerStatuses": [server],
        }
        if self.dead:
            found["status"] |= {"reason": "Evicted", "message": "The node was low on resource: memory."}
        return found


class World:
    """What there is. ``render`` of the real runtime makes the primary object; a subclass is its controller."""

    surge = 1

    def __init__(self, rng: random.Random, spec: ServeSpec) -> None:
        self.rng = rng
        self.runtime = runtime_for(spec)
        self.node_skew = rng.choice([0.0, rng.uniform(-3600, 3600)])
        self.pods: list[Pod] = []
        self.serial = 0
        self.generation = 0
        self.seen_generation = 0
        self.away_until = 0.0
        self.superseded = False
        self.primary: Object = {}
        self.asked: Object = {}
        self.least: int | None = None
        """Pods that are enough, where another adds more."""
        self.write(spec, 0.0)

    # Writers

    def write(self, spec: ServeSpec, t: float) -> None:
        """The client applies ``spec``."""
        self.spec = spec
        asked = self.runtime.render(spec, name="m", namespace="ns", stopped=False, settings=SETTINGS)[0]
        if self.asked and asked["spec"] == self.asked["spec"]:
            return
        self.least = None
        self.generation += 1
        self.asked = copy.deepcopy(asked)
        self.primary = asked
        self.admit(self.primary)
        self.primary["metadata"] |= {"uid": "u", "generation": self.generation, "creationTimestamp": stamp(-600)}
        self._book(
            [{"manager": "airflow-llmserve", "operation": "Apply", "time": stamp(t), "fieldsV1": _owned(asked["spec"], "f:spec")}]
        )

    def write_by_another(self, t: float) -> None:
        """Somebody sets an image, which leaves our mark where it is."""
        self.generation += 1
        self.superseded = True
        part, path = self.pod_part()
        part["image"] = f"theirs:{self.generation}"
        tree: Any = {}
        for step in reversed(path):
            tree = {step: tree}
        mine = copy.deepcopy(self.primary["metadata"]["managedFields"][0])
        _drop(mine["fieldsV1"], path)
        self._book([mine, {"manager": "kubectl-set", "operation": "Update", "time": stamp(t), "fieldsV1": tree}])
        self.primary["metadata"]["generation"] = self.generation

    def admit(self, primary: Object) -> None:
        """What admission makes of our own request: no manager of its own."""

    def pod_part(self) -> tuple[Object, tuple[str, ...]]:
        """Where the image is, and its path in managedFields."""
        raise NotImplementedError

    def _book(self, entries: list[Object]) -> None:
        self.primary["metadata"]["managedFields"] = entries

    # Kubelet and servers

    def make(self, body: Object, t: float) -> None:
        self.serial += 1
        body = copy.deepcopy(body)
        name = f"{body['metadata'].pop('generateName', 'm-')}{self.serial}"
        body["metadata"] |= {"name": name, "uid": f"p{self.serial}", "creationTimestamp": stamp(t)}
        self.pods.append(Pod(body, made=t, started=t, turned=t))

    def turn(self, pod: Pod, t: float, *, ready: bool) -> None:
        """The kubelet says that it is ready, or not."""
        if pod.ready != ready:
            pod.ready, pod.turned = ready, t

    def restart(self, pod: Pod, t: float) -> None:
        """Its container ends and is started again: what was in memory is gone, the labels stay."""
        pod.restarts, pod.started, pod.hangs = pod.restarts + 1, t, False
        pod.weights.clear()
        self.turn(pod, t, ready=False)

    @property
    def alive(self) -> list[Pod]:
        return [p for p in self.pods if not p.dead and not p.ending]

    @property
    def serving(self) -> list[Pod]:
        return [p for p in self.pods if p.serves]

    # What the controller does

    def current(self, pod: Pod) -> bool:
        """Whether it is of the controller's present revision."""
        raise NotImplementedError

    def new_pod(self) -> Object:
        """A pod of the present revision."""
        raise NotImplementedError

    @property
    def wanted(self) -> int:
        """How many pods are asked for."""
        raise NotImplementedError

    def reconcile(self, t: float) -> None:
        """One step towards what is asked for: a rolling update with a surge of one."""
        self.seen_generation = self.generation
        fresh = [p for p in self.alive if self.current(p)]
        stale = [p for p in self.alive if not self.current(p)]
        if len(fresh) < self.wanted and len(self.alive) < self.wanted + self.surge:
            self.make(self.new_pod(), t)
        elif stale and (
            len([p for p in fresh if p.ready]) > 0 or len(self.alive) > self.wanted or not any(p.ready for p in stale)
        ):
            self._end(stale[0])
        elif len(fresh) > self.wanted:
            self._end(fresh[-1])

    def _end(self, pod: Pod) -> None:
        pod.ending = True

    # What is so

    def healthy(self) -> bool:
        """Whatever takes requests answers them."""
        return not any(p.hangs for p in self.serving)

    def right(self) -> bool:
        """The whole change is in effect: as many pods as asked for, and all of it."""
        living = self.alive
        if self.superseded or self.seen_generation != self.generation or not self.of_change(living):
            return False
        good = [p for p in living if p.ready and self.holds(p)]
        if self.least is not None:
            return len(good) >= min(self.least, self.wanted) and len(good) == len([p for p in living if p.ready])
        return len(good) == len(living) == self.wanted

    def of_change(self, living: list[Pod]) -> bool:
        """All that live are of the client's change, and of one revision of it."""
        return all(self.current(p) for p in living)

    def holds(self, pod: Pod) -> bool:
        """It has what was asked for in memory."""
        return True

    def answer(self, name: str, pod: str) -> int:
        """The status that a question gets now."""
        asked = [p for p in self.pods if p.name == pod and not p.dead] if pod else self.serving
        if not asked:
            return 0
        one = self.rng.choice(asked)
        return 0 if one.hangs or not one.ready else self.answered_by(one, name)

    def answered_by(self, pod: Pod, name: str) -> int:
        return 200

    def listed(self, pod: str) -> str:
        """The body of a pod's own answer."""
        return '{"ready": true}'

    def objects(self) -> list[Object]:
        """Everything that can be seen."""
        return [copy.deepcopy(self.primary), *(p.seen(self.node_skew) for p in self.pods)]


def _owned(value: Any, *at: str) -> Any:
    """The fields of an applied spec, in managedFields' spelling: lists are taken as one."""
    tree: Any = {f"f:{k}": _owned(v) for k, v in value.items()} if isinstance(value, dict) else {}
    for step in reversed(at):
        tree = {step: tree}
    return tree


def _drop(tree: Object, path: tuple[str, ...]) -> None:
    for step in path[:-1]:
        tree = tree.get(step, {})
    tree.pop(path[-1], None)


class KubeAIWorld(World):
    """KubeAI's manager: no status of a change, adapters by label, and a configuration of its own."""

    def __init__(self, rng: random.Random, spec: ServeSpec) -> None:
        self.system = copy.deepcopy(SYSTEM)
        super().__init__(rng, spec)

    def pod_part(self) -> tuple[Object, tuple[str, ...]]:
        return self.primary["spec"], ("f:spec", "f:image")

    @property
    def wanted(self) -> int:
        return int(self.primary["spec"].get("replicas", self.primary["spec"]["minReplicas"]))

    def new_pod(self) -> Object:
        return pod_for(self.primary, self.system)

    def current(self, pod: Pod) -> bool:
        return bool(pod.body["metadata"]["labels"]["pod-hash"] == self.new_pod()["metadata"]["labels"]["pod-hash"])

    def of_change(self, living: list[Pod]) -> bool:
        """A new configuration that the manager has not acted on is nobody's fault."""
        revisions = {p.body["metadata"]["labels"]["pod-hash"] for p in living}
        mark = self.runtime.mark_in(self.primary)
        return len(revisions) == 1 and all(in_environment(p.body, "server") == mark for p in living)

    def new_configuration(self) -> None:
        """The manager's own: other pods of the same Models, with the same mark."""
        self.system["modelServers"]["VLLM"]["images"]["cpu"] = f"vllm:{self.rng.random()}"

    def adapters(self, t: float) -> None:
        """One step of loading: a changed URL is labelled while the old weights answer, then unloaded, then loaded anew."""
        wanted = {a["name"]: a["url"] for a in self.primary["spec"].get("adapters", ())}
        for pod in (p for p in self.alive if p.ready and self.current(p)):
            for name in [n for n in pod.labels if n not in wanted]:
                del pod.labels[name]
                pod.weights.pop(name, None)
                return
            for name, url in wanted.items():
                label = pod.labels.get(name, ("", 0.0))[0]
                if label == url_hash(url) and pod.weights.get(name) not in (url, None):
                    del pod.labels[name], pod.weights[name]  # the label was early
                    return
                if label != url_hash(url):
                    pod.weights.setdefault(name, url)
                    pod.labels[name] = (url_hash(url), t)
                    return

    def reconcile(self, t: float) -> None:
        super().reconcile(t)
        self.adapters(t)

    def holds(self, pod: Pod) -> bool:
        wanted = {a["name"]: a["url"] for a in self.primary["spec"].get("adapters", ())}
        return pod.weights == wanted and pod.labels.keys() == wanted.keys()

    def answered_by(self, pod: Pod, name: str) -> int:
        adapter = name.removeprefix("m_")
        return 200 if adapter == name or adapter in pod.weights else 404

    def answer(self, name: str, pod: str) -> int:
        adapter = name.removeprefix("m_")
        if not pod and adapter != name:  # the gateway holds the request until some pod is labelled
            labelled = [p for p in self.serving if adapter in p.labels]
            one = self.rng.choice(labelled) if labelled else None
            return 0 if one is None or one.hangs else self.answered_by(one, name)
        return super().answer(name, pod)

    def listed(self, pod: str) -> str:
        one = next(p for p in self.pods if p.name == pod)
        return str({"data": [{"id": n} for n in ("m", *one.weights)]}).replace("'", '"')

    def objects(self) -> list[Object]:
        primary, *rest = super().objects()
        primary["metadata"]["labels"] = {f"features.kubeai.org/{f}": "true" for f in primary["spec"]["features"]}
        primary["spec"].setdefault("replicas", self.wanted)
        primary["status"] = {"replicas": {"all": len(self.pods), "ready": len(self.serving)}}
        lease = {"kind": "Lease", "metadata": {"name": "cc6bca10.substratus.ai", "namespace": "ns"}, "spec": {}}
        return [primary, *rest, lease]


class DeploymentWorld(World):
    """The Deployment controller: a ReplicaSet a template."""

    def __init__(self, rng: random.Random, spec: ServeSpec) -> None:
        self.sets: dict[str, Object] = {}
        self.status: Object = {}
        super().__init__(rng, spec)

    @property
    def deployment(self) -> Object:
        """The Deployment whose pods serve."""
        return self.primary

    def admit(self, primary: Object) -> None:
        if self.rng.random() < 0.3:
            container = primary["spec"]["template"]["spec"]["containers"][0]
            container["image"] = f"mirror/{container['image']}"

    def pod_part(self) -> tuple[Object, tuple[str, ...]]:
        container = self.primary["spec"]["template"]["spec"]["containers"][0]
        return container, ("f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"server"}', "f:image")

    @property
    def wanted(self) -> int:
        return int(self.deployment["spec"].get("replicas", 1))

    def scale(self, replicas: int) -> None:
        """An autoscaler, by the scale subresource."""
        self.generation += 1
        self.least = self.wanted if self.least is None else self.least
        self.primary["spec"]["replicas"] = replicas
        entry = {"manager": "hpa", "operation": "Update", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
        mine = copy.deepcopy(self.primary["metadata"]["managedFields"])
        _drop(mine[0]["fieldsV1"], ("f:spec", "f:replicas"))
        self._book([*mine, entry])
        self.primary["metadata"]["generation"] = self.generation

    def restart_rollout(self) -> None:
        """``kubectl rollout restart``: new pods of the same mark."""
        self.generation += 1
        metadata = self.primary["spec"]["template"]["metadata"]
        metadata["annotations"]["kubectl.kubernetes.io/restartedAt"] = str(self.generation)
        self.primary["metadata"]["generation"] = self.generation

    @property
    def template(self) -> Object:
        return dict(self.deployment["spec"]["template"])

    def set_of(self, template: Object) -> Object:
        key = digest(template)[:10]
        if key not in self.sets:
            owner = {"kind": "Deployment", "uid": self.deployment["metadata"]["uid"], "controller": True}
            metadata = {"name": f"m-{key}", "uid": f"rs-{key}", "ownerReferences": [owner]}
            self.sets[key] = {"kind": "ReplicaSet", "metadata": metadata, "spec": {"template": copy.deepcopy(template)}}
        return self.sets[key]

    def new_pod(self) -> Object:
        made = self.set_of(self.template)
        metadata = copy.deepcopy(self.template["metadata"])
        metadata["generateName"] = f"{made['metadata']['name']}-"
        metadata["ownerReferences"] = [{"kind": "ReplicaSet", "uid": made["metadata"]["uid"], "controller": True}]
        return {"kind": "Pod", "metadata": metadata, "spec": copy.deepcopy(self.template["spec"])}

    def current(self, pod: Pod) -> bool:
        owner = pod.body["metadata"]["ownerReferences"][0]["uid"]
        return bool(owner == self.set_of(self.template)["metadata"]["uid"])

    def reconcile(self, t: float) -> None:
        super().reconcile(t)
        fresh = [p for p in self.alive if self.current(p)]
        ready = [p for p in self.alive if p.ready]
        self.status = {
            "observedGeneration": self.deployment["metadata"].get("generation", 1),
            "replicas": len(self.alive),
            "updatedReplicas": len(fresh),
            "readyReplicas": len(ready),
            "availableReplicas": len(ready),
            "conditions": [{"type": "Available", "status": str(len(ready) >= self.wanted)}],
        }

    def objects(self) -> list[Object]:
        primary, *pods = super().objects()
        sets = [copy.deepcopy(s) for s in self.sets.values()]
        if self.deployment is self.primary:
            return [{**primary, "status": copy.deepcopy(self.status)}, *sets, *pods]
        return [primary, {**copy.deepcopy(self.deployment), "status": copy.deepcopy(self.status)}, *sets, *pods]


class InferenceServiceWorld(DeploymentWorld):
    """KServe in standard mode: what it renders goes on as a Deployment."""

    def __init__(self, rng: random.Random, spec: ServeSpec) -> None:
        self._made: Object = {}
        super().__init__(rng, spec)

    @property
    def deployment(self) -> Object:
        return self._made

    def admit(self, primary: Object) -> None:
        pass

    def pod_part(self) -> tuple[Object, tuple[str, ...]]:
        return self.primary["spec"]["predictor"]["model"], ("f:spec", "f:predictor", "f:model", "f:image")

    def scale(self, replicas: int) -> None:
        pass

    def restart_rollout(self) -> None:
        pass

    def render(self) -> None:
        """The controller makes the Deployment of the InferenceService."""
        predictor = self.primary["spec"]["predictor"]
        annotations = {**self.primary["metadata"]["annotations"], **predictor["annotations"]}
        container = {k: v for k, v in predictor["model"].items() if k not in ("modelFormat", "args")}
        container |= {"name": "kserve-container", "args": ["--model_name=m", *predictor["model"].get("args", [])]}
        label = {"serving.kserve.io/inferenceservice": "m"}
        template = {"metadata": {"labels": label, "annotations": annotations}, "spec": {"containers": [container]}}
        replicas = predictor["minReplicas"]
        same = self._made and (self._made["spec"]["template"], self._made["spec"]["replicas"]) == (template, replicas)
        if same:
            return
        generation = self._made["metadata"]["generation"] + 1 if self._made else 1
        owner = {"kind": "InferenceService", "uid": "u", "controller": True}
        metadata = {"name": "m-predictor", "uid": "d", "generation": generation, "ownerReferences": [owner], "labels": label}
        self._made = {"kind": "Deployment", "metadata": metadata, "spec": {"replicas": replicas, "template": template}}

    def reconcile(self, t: float) -> None:
        if self.rng.random() < 0.5 or not self._made:
            self.render()
        super().reconcile(t)
        self.seen_generation = self.generation if self._rendered() else 0

    def _rendered(self) -> bool:
        mark = self.primary["spec"]["predictor"]["annotations"][ANNOTATION]
        there = self._made["spec"]["template"]["metadata"]["annotations"][ANNOTATION]
        return bool((mark, self.primary["spec"]["predictor"]["minReplicas"]) == (there, self._made["spec"]["replicas"]))

    def objects(self) -> list[Object]:
        if not self._made:
            return [copy.deepcopy(self.primary)]
        primary, *rest = super().objects()
        ready = bool(self.serving)
        primary["status"] = {"conditions": [{"type": "Ready", "status": str(ready)}], "deploymentMode": "Standard"}
        return [primary, *rest]


WORLDS: dict[str, Callable[[random.Random, ServeSpec], World]] = {
    "kubeai": KubeAIWorld,
    "deployment": DeploymentWorld,
    "inferenceservice": InferenceServiceWorld,
}
