"""The verdict on one serving run: look, fetch the logs of what crashed, judge, ask what must be asked, judge again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone

from airflow_provider_llmserve.endpoint import Endpoint, Identity
from airflow_provider_llmserve.errors import LLMServeError, NotOurs
from airflow_provider_llmserve.owner import Owner
from airflow_provider_llmserve.platforms.base import ServingRun
from airflow_provider_llmserve.platforms.kubernetes.asking import Asker
from airflow_provider_llmserve.platforms.kubernetes.client import Client
from airflow_provider_llmserve.platforms.kubernetes.live import Live, same_deployment, seen
from airflow_provider_llmserve.platforms.kubernetes.reflector import Reflector
from airflow_provider_llmserve.readiness.observed import Expected, Observed, PodLog, Reply
from airflow_provider_llmserve.readiness.pods import WantedLog, logs_wanted
from airflow_provider_llmserve.readiness.reasons import verdict
from airflow_provider_llmserve.readiness.state import Ask, Evidence, State, Verdict
from airflow_provider_llmserve.runtimes.base import Reading, Runtime
from airflow_provider_llmserve.runtimes.parts import LogTail, Watched
from airflow_provider_llmserve.runtimes.service_url import service_of
from airflow_provider_llmserve.settings import Settings

log = logging.getLogger(__name__)

PERIOD = 5.0
"""Seconds after which a verdict is given anew though nothing changed: what a clock decides (a lease that ran out) is no event."""
PAUSE = 1.0
"""Seconds between two verdicts at least, however often the objects change."""
ASK_PAUSE = 1.0
"""Seconds between two rounds of questions, however often the objects change."""
ROUNDS = 3
"""Rounds of questions within one verdict: an answer may lead to a further question."""
FRESH = timedelta(seconds=30)
"""How old an answer may be that a verdict rests on, by our own clock."""
TAIL = 1000
"""Lines of a container's log: vLLM names the cause some hundred lines before its last."""
TAIL_PAUSE = 3.0
"""Seconds between two reads of the log of a running container."""


class Watcher:
    """Watches one run, as its write or a later look at it found the objects."""

    def __init__(self, client: Client, asker: Asker, settings: Settings, runtime: Runtime, run: ServingRun) -> None:
        if run.spec is None or run.owner is None:
            raise NotOurs(f"{run.kind} {run.name} was not deployed by this package, so there is no spec to judge it by")
        self._client = client
        self._asker = asker
        self._settings = settings
        self._runtime = runtime
        self._run = run
        self._expected = self._expect()
        self._logs: dict[WantedLog, tuple[float, PodLog]] = {}
        self._tails: dict[LogTail, tuple[float, PodLog]] = {}
        self._may_read_logs = True
        self._asked = 0.0
        self._replies: dict[Ask, Reply] = {}

    async def verdicts(self) -> AsyncIterator[Verdict]:
        """See :meth:`platforms.base.Platform.verdicts`."""
        async with Reflector(self._client, self._settings.namespace, self.watched()) as reflector:
            while True:
                began = self._clock()
                yield await self._verdict(reflector)
                await reflector.changed(PERIOD)
                await asyncio.sleep(max(0.0, began + PAUSE - self._clock()))

    def watched(self) -> list[Watched]:
        """What the runtime wants to see, and the record where that is an object of its own."""
        return [*self._runtime.watched(self._run.name), *self._runtime.RECORD.watched(self._run.name)]

    async def _verdict(self, reflector: Reflector) -> Verdict:
        """Look, and ask what is open, until nothing new is. The verdict rests on a look after the answers."""
        found = await self._look(reflector)
        for _ in range(ROUNDS):
            still_open = [ask for ask in found.ask if not self._is_answered(ask)]
            if not still_open:
                break
            await self._rest()
            for reply in await self._asker.ask(self._runtime, self._endpoint(reflector.snapshot()), still_open):
                self._replies[reply.ask] = reply
            asked, found = set(found.ask), await self._look(reflector)
            if set(found.ask) <= asked:
                break
        self._replies = {ask: reply for ask, reply in self._replies.items() if self._is_answered(ask)}
        return found

    async def _look(self, reflector: Reflector) -> Verdict:
        observed = reflector.snapshot()
        blind = reflector.blind()
        if blind:
            return verdict(State.PROGRESSING, "not_observed", "the cluster cannot be seen at the moment", detail=blind)
        other = self._superseded(observed)
        if other is not None:
            return other
        observed = observed.with_replies(*self._replies.values())  # an answer of 5xx makes more logs worth reading
        return self._assess(observed.with_logs(*await self._logs_of(observed), *await self._tails_of(observed)))

    def _is_answered(self, ask: Ask) -> bool:
        """What was answered a moment ago, by these very pods, is not asked again: ten names would be, for one that is silent."""
        reply = self._replies.get(ask)
        return reply is not None and reply.answered and datetime.now(timezone.utc) - reply.at < FRESH

    async def _rest(self) -> None:
        """Keep ASK_PAUSE between two rounds."""
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(max(0.0, self._asked + ASK_PAUSE - clock()))
        self._asked = clock()

    def _assess(self, observed: Observed) -> Verdict:
        return self._runtime.assess(self._expected, observed, self._client.now())

    def _superseded(self, observed: Observed) -> Verdict | None:
        primary, record = seen(self._runtime, self._run.name, observed)
        if primary is None:
            return None
        metadata = primary["metadata"]
        anew = metadata.get("uid") != self._run.uid
        if not anew and same_deployment(record, self._run):
            return None
        subject = f"{self._runtime.PRIMARY.kind} {self._run.name}"
        by = record.owner.in_words if record else "somebody else"
        evidence = Evidence(subject, "metadata.uid" if anew else "the record of its owner and spec", by)
        done = "was deleted and made anew" if anew else "was deployed again"
        return verdict(State.SUPERSEDED, "superseded", f"{subject} {done} by {by}", evidence=[evidence])

    def _expect(self) -> Expected:
        native, now = self._run.native, self._client.now()
        assert isinstance(native, Live)
        return native.expected(_time(native.record.applied if native.record else "") or now)

    def _endpoint(self, observed: Observed) -> Endpoint:
        return endpoint(self._runtime, self._settings, self._run, observed)

    async def _logs_of(self, observed: Observed) -> list[PodLog]:
        """The logs that would tell more and are not there yet: of a container that ended once, of one that runs every
        TAIL_PAUSE seconds."""
        known = {(log.pod, log.container, log.previous) for log in observed.logs}
        wanted = [w for w in logs_wanted(observed) if (w.pod, w.container, w.previous) not in known]
        for one in wanted:
            read_at, _ = self._logs.get(one, (-TAIL_PAUSE, None))
            due = one not in self._logs or (one.growing and self._clock() - read_at >= TAIL_PAUSE)
            if due and self._may_read_logs:
                await self._fetch_log(one)
        return [log for one in wanted if (log := self._logs.get(one, (0.0, None))[1]) is not None]

    async def _fetch_log(self, one: WantedLog) -> None:
        try:
            text = await self._client.logs(self._settings.namespace, one.pod, one.container, tail=TAIL, previous=one.previous)
        except LLMServeError as e:
            self._may_read_logs = getattr(e, "status", 0) not in (401, 403)
            log.debug("no log: %s", e)
            return
        self._logs[one] = self._clock(), PodLog(pod=one.pod, container=one.container, text=text, previous=one.previous)

    @staticmethod
    def _clock() -> float:
        return asyncio.get_running_loop().time()

    async def _tails_of(self, observed: Observed) -> list[PodLog]:
        """The logs of running containers that the runtime asks for, read anew every TAIL_PAUSE seconds."""
        if not isinstance(self._runtime, Reading) or not self._may_read_logs:
            return []
        wanted = self._runtime.logs_wanted(self._expected, observed, self._client.now())
        for tail in wanted:
            clock = asyncio.get_running_loop().time()
            if tail in self._tails and clock - self._tails[tail][0] < TAIL_PAUSE:
                continue
            try:
                text = await self._client.logs(self._settings.namespace, tail.pod, tail.container, tail=tail.lines)
            except LLMServeError as e:
                # Above all: not allowed, or the lease names a process that is no pod.
                log.debug("no log: %s", e)
                text = ""
            self._tails[tail] = clock, PodLog(pod=tail.pod, container=tail.container, text=text)
        return [self._tails[tail][1] for tail in wanted]


def endpoint(runtime: Runtime, settings: Settings, run: ServingRun, observed: Observed) -> Endpoint:
    """Where a run answers. Raises :class:`NotOurs` for one without a spec of ours."""
    if run.spec is None:
        raise NotOurs(f"{run.kind} {run.name} was not deployed by this package; nothing says by which names it answers")
    identity = Identity(
        platform="kubernetes",
        kind=run.kind,
        runtime=run.runtime,
        name=run.name,
        namespace=run.namespace,
        uid=run.uid,
        spec_hash=run.spec.hash,
        owner=run.owner or Owner(),
    )
    made = runtime.endpoint(run.spec, identity=identity, settings=settings, observed=observed)
    if settings.access == "direct" or not service_of(made.service.url):
        return made
    service = made.service.model_copy(update={"api_server": settings.kubernetes_conn_id})
    return made.model_copy(update={"service": service})


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
