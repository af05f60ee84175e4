"""A generated history: a world, faults and writers by chance, and a client that looks at it late and asks it questions."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from support.worlds.model import EPOCH, WORLDS, DeploymentWorld, KubeAIWorld, Object, World
from support.worlds.moves import Watch, primary_move

from airflow_provider_llmserve.readiness.labels_seen import seen_after
from airflow_provider_llmserve.readiness.observed import Expected, LabelsSeen, Observed, Reply
from airflow_provider_llmserve.readiness.state import Outcome, State, Verdict
from airflow_provider_llmserve.runtimes import managers
from airflow_provider_llmserve.specs import HuggingFaceServe, KubeAIText, ServeSpec

LAG = 1.5
"""Seconds by which a watch may lag, each kind by its own: events come late, in another order than they happened, or not at all
(a list then tells the rest)."""
KINDS = ("Model", "Deployment", "InferenceService", "ReplicaSet", "Pod", "Lease")
CUT = 0.03
"""How often a watch is cut between two looks."""
ROUNDS = 3


@dataclass
class Ran:
    """What came of one run."""

    seed: int
    verdicts: list[tuple[float, Verdict]] = field(default_factory=list)
    right: list[tuple[float, bool, bool]] = field(default_factory=list)
    """Since when the whole change was in effect, or not; and whether all that took requests answered."""
    superseded: bool = False
    moves: set[str] = field(default_factory=set)

    def was_right(self, since: float, until: float) -> bool:
        """Whether the change was in effect at any time from ``since`` to ``until``, and all answered at any: objects are seen
        late, answers are not."""
        spans = list(zip(self.right, [*(start for start, *_ in self.right[1:]), float("inf")], strict=True))
        within = [(ok, well) for (start, ok, well), end in spans if start <= until and end >= since]
        return any(ok for ok, _ in within) and any(well for _, well in within)


class Client:
    """Sees each kind as it was some time ago, and assesses by a clock of its own."""

    def __init__(self, rng: random.Random, world: World, expected: Expected, skew: float) -> None:
        self.rng, self.world, self.expected, self.skew = rng, world, expected, skew
        self.past: list[tuple[float, list[Object]]] = []
        self.upto = dict.fromkeys(KINDS, -1e9)
        self.known: dict[str, Object] = {}
        self.labels = LabelsSeen()
        self.followed = -1e9

    def remember(self, t: float) -> None:
        """The world as it is now, for later looks."""
        self.past.append((t, self.world.objects()))
        if len(self.past) > 80:
            del self.past[:40]

    def view(self, t: float) -> Observed:
        """Each kind at a time of its own, never earlier than before."""
        objects: list[Object] = []
        for kind in KINDS:
            self.upto[kind] = max(self.upto[kind], t - self.rng.uniform(0, LAG))
            then = next((found for at, found in reversed(self.past) if at <= self.upto[kind]), self.past[0][1])
            objects += [o for o in then if o["kind"] == kind]
        self._watch_labels(objects)
        return Observed(tuple(objects), frozenset(KINDS), labels=self.labels)

    def _watch_labels(self, now: list[Object]) -> None:
        """Every event in between as well, in its order; but for a watch that was cut, and listed anew."""
        seen = [found for at, found in self.past if self.followed < at <= self.upto["Pod"]]
        for objects in (*seen * (self.rng.random() > CUT), now):
            pods = {o["metadata"]["uid"]: o for o in objects if o["kind"] == "Pod"}
            for uid, pod in pods.items():
                self.labels = seen_after(self.labels, self.known.get(uid), pod)
            self.known = pods
        self.followed = self.upto["Pod"]

    def verdict(self, t: float) -> Verdict:
        """Look, ask what is open, look again."""
        now = EPOCH + timedelta(seconds=t + self.skew)
        assess = self.world.runtime.assess
        found = assess(self.expected, self.view(t), now)
        replies: list[Reply] = []
        for _ in range(ROUNDS):
            if not found.ask:
                return found
            for ask in found.ask:
                status = self.world.answer(ask.name, ask.pod)
                replies.append(
                    Reply(ask, status, now, self.world.listed(ask.pod) if ask.pod and status == 200 else _said(status))
                )
            asked, found = found.ask, assess(self.expected, self.view(t).with_replies(*replies), now)
            if set(found.ask) <= set(asked):
                return found
        return found


def run(seed: int) -> Ran:
    """One history. The same seed gives the same."""
    rng = random.Random(seed)
    kind = rng.choice(list(WORLDS))
    world = WORLDS[kind](rng, _spec(rng, kind))
    _settle(world, -300.0)
    watch, ran = Watch(), Ran(seed)
    _look(world, watch)
    t = 0.0
    before = world.objects()[0]
    world.write(_changed(rng, world.spec), t)
    ran.moves.add(_primary(world, before))
    skew = rng.choice([0.0, rng.uniform(-3600, 3600)])
    stored = world.objects()[0]
    written = managers.written_at(stored)
    expected = Expected(stored, EPOCH + timedelta(seconds=skew), world.runtime.mark_in(stored), uid="u", written=written)
    client = Client(rng, world, expected, skew)
    client.remember(t)
    ran.right.append((t - LAG, world.right(), world.healthy()))
    for step, calm in _steps(rng):
        t += step
        before = world.objects()[0]
        (_act if not calm else _heal)(rng, world, t)
        ran.moves |= _look(world, watch) | {_primary(world, before)}
        client.remember(t)
        ran.right.append((t, world.right(), world.healthy()))
        ran.verdicts.append((t, client.verdict(t)))
        if ran.verdicts[-1][1].outcome() in (Outcome.SUCCESS, Outcome.SUPERSEDED):
            break
    ran.superseded = world.superseded
    return ran


def faults(ran: Ran) -> Iterator[str]:
    """What is wrong with the verdicts of a run, in words."""
    for t, said in ran.verdicts:
        outcome = said.outcome()
        if outcome is Outcome.SUCCESS and said.state is not State.READY:
            yield f"{t:.1f}: {said.text()}: nothing was asked to be at zero"
        if said.state is State.READY and not ran.was_right(t - LAG, t):
            yield f"{t:.1f}: Ready, and it was not right within {LAG} s: {said.text()}"
        if outcome is Outcome.FAILED:
            yield f"{t:.1f}: ended as impossible, and it heals: {said.text()}"
        if outcome is Outcome.SUPERSEDED and not ran.superseded:
            yield f"{t:.1f}: superseded, and nobody else wrote: {said.text()}"
    last = ran.verdicts[-1][1]
    if last.outcome() not in (Outcome.SUCCESS, Outcome.SUPERSEDED):
        yield f"it never ended; last: {last.text()}"


def _steps(rng: random.Random) -> Iterator[tuple[float, bool]]:
    """Seconds to the next step, and whether it is one of the calm at the end, in which everything heals."""
    for _ in range(rng.randint(0, 25)):
        yield rng.choice([0.05, 0.3, 1.0, 3.0]), False
    for _ in range(80):
        yield 1.0, True


def _act(rng: random.Random, world: World, t: float) -> None:
    """Something happens."""
    pods = [p for p in world.pods if not p.dead]
    one = rng.choice(pods) if pods else None
    dice = rng.random()
    if dice < 0.45 and t >= world.away_until:
        world.reconcile(t)
    elif dice < 0.5:
        world.away_until = t + rng.uniform(0, 8)
    elif dice < 0.53:
        _others(rng, world, t)
    elif one is None:
        return
    elif dice < 0.7 and not one.ending:
        world.turn(one, t, ready=not one.hangs)
    elif dice < 0.74:
        world.turn(one, t, ready=False)
    elif dice < 0.78 and not one.ending:
        world.restart(one, t)
    elif dice < 0.82:
        one.hangs = not one.hangs
    elif dice < 0.84 and isinstance(world, DeploymentWorld):
        one.dead, one.ready = True, False
    elif one.ending:
        world.pods.remove(one)


def _others(rng: random.Random, world: World, t: float) -> None:
    dice = rng.random()
    if dice < 0.25 and not world.superseded:
        world.write_by_another(t)
    elif isinstance(world, KubeAIWorld):
        world.new_configuration()
    elif isinstance(world, DeploymentWorld) and dice < 0.7:
        world.scale(rng.randint(1, 3))
    elif isinstance(world, DeploymentWorld):
        world.restart_rollout()


def _heal(rng: random.Random, world: World, t: float) -> None:
    """Whoever was away is back, and what was broken is mended."""
    for pod in list(world.pods):
        if pod.dead or (pod.ending and rng.random() < 0.7):
            world.pods.remove(pod)
            continue
        if pod.hangs:
            world.restart(pod, t)
        elif not pod.ending:
            world.turn(pod, t, ready=True)
        if isinstance(world, KubeAIWorld) and pod.restarts and not world.holds(pod):
            world.pods.remove(pod)  # somebody deletes it: KubeAI never loads an adapter again whose label stays
    world.reconcile(t)


def _settle(world: World, t: float) -> None:
    """Until the run of before serves."""
    for _ in range(40):
        _heal(random.Random(0), world, t)
        t += 1.0
    assert world.right(), "the world before the request does not settle"


def _look(world: World, watch: Watch) -> set[str]:
    return watch.look([o for o in world.objects() if o["kind"] == "Pod"])


def _primary(world: World, before: Object) -> str:
    after = world.objects()[0]
    return primary_move(before, after, (world.runtime.mark_in(before), world.runtime.mark_in(after)))


def _said(status: int) -> str:
    return "" if status == 200 else '{"error": {"message": "The model does not exist."}}' if status == 404 else "no answer"


def _spec(rng: random.Random, kind: str) -> ServeSpec:
    if kind == "kubeai":
        adapters = [{"name": "law", "url": "hf://acme/law-1"}, {"name": "med", "url": "hf://acme/med-1"}][: rng.randint(0, 2)]
        scaling = {"min_replicas": rng.randint(1, 2)}
        return KubeAIText.parse({"url": "hf://acme/base", "model_name": "m", "adapters": adapters, "scaling": scaling})
    fields: dict[str, Any] = {"replicas": rng.randint(1, 2), "runtime": kind, "image": "server:1"}
    return HuggingFaceServe.parse({"path": "hf://acme/base", "model_name": "m", "huggingface_task": "text_generation", **fields})


def _changed(rng: random.Random, spec: ServeSpec) -> ServeSpec:
    """Another spec, or the same again."""
    given = spec.to_json()
    if isinstance(spec, KubeAIText):
        changes: list[dict[str, Any]] = [
            {},
            {"image": "vllm:2"},
            {"args": ["--seed=1"]},
            {"files": [{"path": "/f", "content": "new"}]},
            {"priority_class": "high"},
            {"scaling": {"min_replicas": rng.randint(1, 3)}},
            {"adapters": [{"name": "law", "url": "hf://acme/law-2"}]},
            {"adapters": [{"name": "law", "url": "hf://acme/law-1"}, {"name": "tax", "url": "hf://acme/tax"}]},
            {"adapters": []},
        ]
    else:
        changes = [{}, {"image": "server:2"}, {"args": ["--seed=1"]}, {"replicas": rng.randint(1, 3)}, {"path": "pvc://claim/v2"}]
    return type(spec).parse({**given, **rng.choice(changes)})
