"""One recorded history: what could be seen at any second of it, and what was so.

The format is that of the recordings' README: a JSON-lines file (``.jsonl`` or ``.jsonl.gz``), a header, then one line a moment.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

from airflow_provider_llmserve.owner import digest
from airflow_provider_llmserve.readiness.basis import basis_of
from airflow_provider_llmserve.readiness.fields import labels_of, mapping, moment, name_of, terminating, text, uid_of
from airflow_provider_llmserve.readiness.labels_seen import seen_after
from airflow_provider_llmserve.readiness.observed import Expected, LabelsSeen, Object, Observed, PodLog, Reply
from airflow_provider_llmserve.readiness.pods import pod_ready
from airflow_provider_llmserve.readiness.state import Ask
from airflow_provider_llmserve.replay.stamp import FIRST_LOOK, Stamps, pod_part
from airflow_provider_llmserve.runtimes import managers
from airflow_provider_llmserve.runtimes.kubeai import adapters

_KINDS = {
    "pods": "Pod",
    "events": "Event",
    "services": "Service",
    "configmaps": "ConfigMap",
    "secrets": "Secret",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "resourcequotas": "ResourceQuota",
    "nodes": "Node",
    "deployments": "Deployment",
    "replicasets": "ReplicaSet",
    "jobs": "Job",
    "leases": "Lease",
    "endpointslices": "EndpointSlice",
    "horizontalpodautoscalers": "HorizontalPodAutoscaler",
    "models": "Model",
    "inferenceservices": "InferenceService",
}
FRESH = 2.0
"""Seconds for which an answer shows that something serves. A platform asks every name anew for every verdict; a recording asks
one name now and then, so its older answers to other names are handed on beside a fresh one, and none without. An answer that
shows something wrong is kept until the next one to the same question."""
PRECISION = 0.5
"""Seconds by which an answer may be recorded before the object that shows what gave it: each has a stream of its own."""
_TIME = re.compile(r'"(\w+)": ?"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)"')
_EXIT = re.compile(r"pod (\S+): container (\S+) exits .*?; its log ends: (.*)", re.DOTALL)
_REFUSED = re.compile(r"the API server answers ([45]\d\d)")


@dataclass(frozen=True)
class Truth:
    """What is so from ``start`` on (seconds into the history) until the next entry."""

    start: float
    proven: bool
    state: str
    cause: str
    """The recorded cause, without what follows its colon."""
    note: str = ""

    @property
    def reached(self) -> bool:
        """What was asked for is there, by design at zero included; zero with a cause is not by design."""
        return self.proven or (self.state == "scaled_to_zero" and not self.cause)


@dataclass
class History:
    """A history in memory. Times ``t`` are seconds since its start."""

    name: str
    header: Mapping[str, Any]
    lines: list[Mapping[str, Any]]
    truth: list[Truth]
    began: datetime
    """The wall clock at second 0, as near as the objects' own times tell."""
    marked: bool = True
    """Whether objects are handed on with marks and managers; a test turns that off."""

    @classmethod
    def read(cls, path: Path) -> History:
        """Read a file. Raises ValueError naming the file and line that is not in the format."""
        lines = []
        raw = path.read_bytes()
        for number, line in enumerate((gzip.decompress(raw) if path.suffix == ".gz" else raw).splitlines(), 1):
            try:
                lines.append(json.loads(line))
            except ValueError as e:
                raise ValueError(f"{path}, line {number}: {e}") from None
        try:
            header = lines[0]
            truth = [_truth(entry) for entry in header["truth"]]
            name, _ = header["history"], header["want"]
        except (IndexError, KeyError, TypeError) as e:
            raise ValueError(f"{path}: no header of a history ({e!r})") from None
        body = sorted((x for x in lines[1:] if isinstance(x.get("t"), (int, float))), key=lambda x: x["t"])
        return cls(name, header, body, truth, _began(body))

    @property
    def want(self) -> Object:
        """The object as the client last asked for it."""
        return mapping(self.header, "want")

    @property
    def kind(self) -> str:
        """Kind of the object that the verdict is about."""
        return text(self.want, "kind")

    @property
    def runtime(self) -> str:
        """The runtime that made it; empty in recordings from before there could be two of a kind."""
        return text(self.header, "runtime")

    @property
    def present(self) -> bool:
        """Whether the client wants the object to be there; False in recordings of a deletion."""
        return self.header.get("asked") != "absent"

    @property
    def asked_at(self) -> float:
        """The second from which on ``want`` is judged; 0 where it was applied before the recording."""
        return float(self.header.get("asked_at") or 0.0)

    @property
    def seconds(self) -> float:
        """How long the recording is."""
        return float(self.header.get("seconds") or (self.lines[-1]["t"] if self.lines else 0.0))

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds that were recorded whole; a path with a selector shows some objects only."""
        paths = [p for p in self.header.get("watched") or [] if "?" not in p]
        return frozenset(_KINDS[last] for p in paths if (last := p.rsplit("/", 1)[-1]) in _KINDS)

    def now(self, t: float) -> datetime:
        """The time of day at second ``t``."""
        return self.began + timedelta(seconds=t)

    def truth_at(self, t: float) -> Truth:
        """What was so at second ``t``; before the first entry, the first."""
        return [entry for entry in self.truth if entry.start <= t or entry is self.truth[0]][-1]

    def expected(self) -> Expected:
        """The client's last request, as the API server stored it."""
        at = self.now(self.asked_at)
        if self.header.get("asked_at") in (None, 0):
            found = self._standing(until=FIRST_LOOK)
            at = (moment(found, "metadata", "creationTimestamp") if found else None) or at
        stored = self.stamps.stored(self.asked_at) if self.present else None
        manifest, mark = (stored.object, stored.mark) if stored is not None else (self.want, digest(pod_part(self.want))[:16])
        written = managers.written_at(manifest)
        return Expected(manifest, at, mark if self.marked else "", present=self.present, written=written)

    @cached_property
    def stamps(self) -> Stamps:
        """The marks and managers of its objects."""
        return Stamps(self.want, self.lines, self.began)

    def times(self, every: float = 1.0, apart: float = 0.0) -> list[float]:
        """The moments at which a verdict could change, from the client's request on: every line, every change of the truth, the
        end, and (for rules with a clock) one each ``every`` seconds. Of moments less than ``apart`` seconds apart only the last
        is kept."""
        first = max(self.asked_at, FIRST_LOOK)
        found = {line["t"] for line in self.lines} | {entry.start for entry in self.truth} | {self.seconds}
        found |= {first + every * n for n in range(int(max(self.seconds - first, 0.0) / every) + 1)}
        times = sorted({round(t + 0.001, 3) for t in found if first <= t <= self.seconds})
        return [t for t, following in zip(times, [*times[1:], float("inf")], strict=True) if following - t >= apart]

    def snapshots(self, times: Iterable[float]) -> Iterator[tuple[float, Observed]]:
        """What could be seen at each of ``times`` (ascending): the objects then, logs and answers up to then."""
        seen = _Seen(self)
        for t in times:
            yield t, seen.at(t)

    def refusal(self, t: float) -> str:
        """The API server's words where it refused the client's last request before ``t``, else empty."""
        for line in self.lines:
            if self.asked_at <= line["t"] <= t and "do" in line and _REFUSED.match(line["do"]):
                return text(line, "object", "message") or str(line["do"])
        return ""

    def answered(self, name: str) -> list[float]:
        """When requests by that name were answered."""
        probes = ((line["t"], mapping(line, "probe")) for line in self.lines if "probe" in line)
        return [t for t, probe in probes if probe.get("name") == name and probe.get("status") == 200]

    def _standing(self, until: float) -> Object | None:
        live: Object | None = None
        for line in self.lines:
            found = mapping(line, "object")
            if "event" not in line or line["t"] > until or found.get("kind") != self.kind or name_of(found) != name_of(self.want):
                continue
            live = None if line["event"] == "DELETED" else found
        return live


class _Seen:
    """The state of the watch, carried forward in time."""

    def __init__(self, history: History):
        self.history = history
        self.objects: dict[tuple[str, ...], Object] = {}
        self.replies: dict[Ask, tuple[float, Reply]] = {}
        self.rests_on: dict[Ask, str] = {}
        self.labels = LabelsSeen()
        self.logs: dict[tuple[str, str, bool], PodLog] = {}
        self.labelled: dict[tuple[str, str], tuple[str, datetime]] = {}
        self.fixed = _manager_config(history)
        self.one_by_one = _asks_pods(history)
        self.base_unasked = not any(text(x, "probe", "name") == name_of(history.want) for x in history.lines)
        """An adapter's answer then shows that the server answers which also serves the base."""
        self.next = 0

    def at(self, t: float) -> Observed:
        lines = self.history.lines
        while self.next < len(lines) and lines[self.next]["t"] <= t:
            self._settle(lines[self.next]["t"])
            self._take(lines[self.next])
            self.next += 1
        self._settle(t)
        # A name with a blank is a path of the server ("support GET /v2/health/ready"), which may answer when nothing is served.
        since = max(t - FRESH, self.history.asked_at)
        alive = any(r.answered and asked >= since and " " not in r.ask.name for asked, r in self.replies.values())
        return Observed(
            objects=(*self.objects.values(), *self.fixed),
            kinds=self.history.kinds,
            replies=tuple(r for asked, r in self.replies.values() if not r.answered or (alive and self._holds(r, asked))),
            logs=tuple(self.logs.values()),
            labels=self.labels,
        )

    def _settle(self, t: float) -> None:
        """What an answer rests on is what stood there when it came, as far as a recording tells that apart."""
        for asked, reply in self.replies.values():
            if reply.ask not in self.rests_on and t > asked + PRECISION:
                self.rests_on[reply.ask] = self._basis(reply.ask)

    def _holds(self, reply: Reply, asked: float) -> bool:
        """Whether it is of the pods that are there now. What one pod said before the client's request shows nothing of it now."""
        before = reply.pod and asked < self.history.asked_at
        return not before and self.rests_on.get(reply.ask, "") in ("", self._basis(reply.ask))

    def _basis(self, ask: Ask) -> str:
        """The pods that may have given an answer; of an adapter's, with its labels."""
        pods = [o for o in self.objects.values() if o.get("kind") == "Pod" and not terminating(o) and ask.pod in ("", name_of(o))]
        adapter = ask.name.removeprefix(f"{name_of(self.history.want)}_")
        labels = [
            [uid_of(p), adapters.labels(p).get(adapter), self.labelled.get((uid_of(p), f"{adapters.LABEL_PREFIX}{adapter}"))]
            for p in pods
        ]
        return basis_of(pods, sorted(map(str, labels)) if adapter != ask.name else [])

    def _take(self, line: Mapping[str, Any]) -> None:
        if "event" in line:
            self._event(line)
        elif "probe" in line:
            for reply in self._replies(line):
                self.replies[reply.ask] = (line["t"], reply)
                self.rests_on.pop(reply.ask, None)
        elif "do" in line:
            self._log(line)

    def _event(self, line: Mapping[str, Any]) -> None:
        found = mapping(line, "object")
        if self.history.marked:
            found = self.history.stamps.of(found)
        key = (text(found, "kind"), text(found, "metadata", "namespace"), name_of(found))
        if line["event"] == "DELETED":
            self.objects.pop(key, None)
        else:
            if key[0] == "Pod":
                self.labels = seen_after(self.labels, self.objects.get(key), found)
            self.objects[key] = self._with_label_times(found, line["t"]) if key[0] == "Pod" else found

    def _with_label_times(self, pod: Object, t: float) -> Object:
        """The recordings drop managedFields; when a label last changed shows in the watch, so that much of them is put back."""
        entries = []
        created = moment(pod, "metadata", "creationTimestamp")
        for label, value in labels_of(pod).items():
            known = self.labelled.get((uid_of(pod), label))
            if known is None or known[0] != value:
                since = created if t < FIRST_LOOK and created else self.history.now(t)
                known = self.labelled[(uid_of(pod), label)] = (str(value), since)
            stamp = known[1].strftime("%Y-%m-%dT%H:%M:%SZ")
            entries.append({"time": stamp, "fieldsV1": {"f:metadata": {"f:labels": {f"f:{label}": {}}}}})
        return {**pod, "metadata": {**mapping(pod, "metadata"), "managedFields": entries}}

    def _replies(self, line: Mapping[str, Any]) -> Iterator[Reply]:
        """The recorded answer, and what each pod would have said: a platform asks them one by one.

        Real servers were asked so. The fake ones were asked by their served name alone; they answer while they are Ready.
        """
        reply = self._reply(line)
        pods = {name_of(o): o for o in self.objects.values() if o.get("kind") == "Pod"}
        name, model = reply.ask.name, name_of(self.history.want)
        if name in pods:
            yield replace(reply, ask=Ask(model, name))
            return
        yield reply
        if self.base_unasked and reply.answered and name.startswith(f"{model}_"):
            yield replace(reply, ask=Ask(model), text="")
        if reply.answered and not reply.pod and " " not in name and not self.one_by_one:
            ready = (pod for pod, found in pods.items() if pod_ready(found))
            yield from (replace(reply, ask=Ask(model, pod), text="") for pod in ready)

    def _reply(self, line: Mapping[str, Any]) -> Reply:
        probe = mapping(line, "probe")
        name, said = text(probe, "name"), text(probe, "answers")[:4000]
        found = probe.get("status")
        status = found if isinstance(found, int) else 0
        pod, _, adapter = name.partition(" ")
        if adapter and " " not in adapter:  # asked of the pod itself, for one adapter: it shows what the pod's list would say
            name, said, status = self._listed(pod, adapter, said, status)
            return Reply(Ask(name, pod), status, self.history.now(line["t"]), said)
        return Reply(Ask(name), status, self.history.now(line["t"]), said)

    def _listed(self, pod: str, adapter: str, said: str, status: int) -> tuple[str, str, int]:
        model = name_of(self.history.want)
        if status not in (200, 404):
            return model, said, status
        here = next((o for o in self.objects.values() if o.get("kind") == "Pod" and name_of(o) == pod), {})
        held = {model, *adapters.labels(here), adapter} - ({adapter} if status == 404 else set())
        return model, json.dumps({"data": [{"id": one} for one in sorted(held)]}), 200

    def _log(self, line: Mapping[str, Any]) -> None:
        found = mapping(line, "object")
        if found.get("kind") == "PodLog":
            log = PodLog(text(found, "pod"), text(found, "container"), text(found, "text"), found.get("previous") is True)
        else:
            ended = _EXIT.match(str(line["do"]))
            if not ended:
                return
            log = PodLog(ended.group(1), ended.group(2), ended.group(3), previous=True)
        self.logs[(log.pod, log.container, log.previous)] = log


def _asks_pods(history: History) -> bool:
    """Whether pods were asked by themselves anywhere in it: then nothing is made up for them."""
    pods = {name_of(line["object"]) for line in history.lines if "event" in line and line["object"].get("kind") == "Pod"}
    return any(text(line, "probe", "name").partition(" ")[0] in pods for line in history.lines)


def _truth(entry: Mapping[str, Any]) -> Truth:
    cause, _, note = str(entry.get("cause") or "").partition(":")
    return Truth(float(entry["from"]), bool(entry["proven"]), str(entry["state"]), cause.strip(), note.strip())


def _began(lines: list[Mapping[str, Any]]) -> datetime:
    """An object's own times are not later than the moment at which it was seen; the tightest of them tells second 0."""
    latest = datetime(2000, 1, 1, tzinfo=timezone.utc)
    for line in lines:
        if "event" not in line:
            continue
        for key, value in _TIME.findall(json.dumps(line["object"])):
            stamp = moment({"at": value}, "at") if key != "deletionTimestamp" else None
            if stamp is not None:
                latest = max(latest, stamp - timedelta(seconds=line["t"]))
    return latest


def _manager_config(history: History) -> tuple[Object, ...]:
    """KubeAI's configuration stands in the header; its chart writes it to this ConfigMap in the manager's own namespace.

    There a client of that namespace reads it; the recording watched the leases of another, where the manager was in another.
    """
    config = mapping(history.header, "config")
    namespace = text(history.want, "metadata", "namespace")
    leases = [path for path in history.header.get("watched") or () if path.endswith("/leases")]
    elsewhere = any(f"/namespaces/{namespace}/" not in path for path in leases)
    if history.kind != "Model" or not config or elsewhere:
        return ()
    metadata = {"name": "kubeai-config", "namespace": namespace}
    return ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"system.yaml": json.dumps(config)}},)
