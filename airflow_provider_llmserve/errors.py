"""Every error this package raises, free of Airflow.

    LLMServeError
    ├── BadInput               the user's spec, adapter, data set or connection; refused before anything is written
    │   └── MissingExtra       an optional dependency is not installed
    ├── NotOurs                the object exists but another owner made it
    ├── Elsewhere              the endpoint lives in another place than the connection leads to
    ├── Superseded             a newer deployment took the place of this one
    ├── ServingFailed          the deployment cannot become ready; carries the verdict
    ├── WaitTimeout            the deadline passed first; carries the last verdict
    ├── StillThere             a teardown whose pods or objects did not go away in time
    ├── GateFailed             an evaluation missed its thresholds; carries the figures
    └── PlatformError          the platform refused or could not be reached
        ├── NotFound           404
        ├── AccessDenied       401, 403; names the missing permission
        ├── Conflict           409; somebody else changed the object first
        ├── Rejected           400, 422 and admission refusals
        └── Unavailable        5xx, 429 or no connection, after retries

``retryable`` says whether the same task, run again unchanged, can succeed. Operators turn ``False`` into
``AirflowFailException`` so that Airflow does not retry for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_llmserve.readiness.state import Verdict


__all__ = [
    "AccessDenied",
    "BadInput",
    "Conflict",
    "Elsewhere",
    "GateFailed",
    "LLMServeError",
    "MissingExtra",
    "NotFound",
    "NotOurs",
    "PlatformError",
    "Rejected",
    "ServingFailed",
    "StillThere",
    "Superseded",
    "Unavailable",
    "WaitTimeout",
]


class LLMServeError(Exception):
    """Root of all errors of this package."""

    retryable: bool = True
    aftermath: str = ""
    """What became of what had been written, and so of the pods, when the error was raised; empty where nothing was."""

    def __str__(self) -> str:
        return "\n".join(filter(None, (super().__str__(), self.aftermath)))


class BadInput(LLMServeError):
    """One or more findings about the input, all at once. Nothing was written. A retry with the same input fails again."""

    retryable = False

    def __init__(self, subject: str, findings: Sequence[str] | str):
        self.subject = subject
        self.findings: tuple[str, ...] = (findings,) if isinstance(findings, str) else tuple(findings)
        if len(self.findings) == 1:
            text = f"{subject}: {self.findings[0]}"
        else:
            text = f"{subject}: {len(self.findings)} problems\n" + "\n".join(f"  - {f}" for f in self.findings)
        super().__init__(text)


class MissingExtra(BadInput):
    """An optional dependency is missing; the text is the pip line that brings it."""

    def __init__(self, what: str, extra: str):
        super().__init__(what, f"needs an extra: pip install 'airflow-provider-llmserve[{extra}]'")


class NotOurs(LLMServeError):
    """The object belongs to somebody else. A retry fails again; ``adopt=True`` or another name helps."""

    retryable = False


class Elsewhere(LLMServeError):
    """The endpoint lives in another place (cluster, namespace, host, state folder) than the connection leads to.
    Nothing was done."""

    retryable = False


class Superseded(LLMServeError):
    """A newer deployment replaced this one while we waited. A retry would take the place back, so there is none."""

    retryable = False


class _WithVerdict(LLMServeError):
    def __init__(self, message: str, verdict: Verdict | None = None):
        self.verdict = verdict
        super().__init__(message)


class ServingFailed(_WithVerdict):
    """The deployment cannot become ready. Retryable exactly when the verdict says so."""

    def __init__(self, message: str, verdict: Verdict | None = None):
        super().__init__(message, verdict)
        if verdict is not None:
            self.retryable = verdict.retryable


class WaitTimeout(_WithVerdict):
    """The deadline passed while the last verdict was still a waiting one."""


class StillThere(_WithVerdict):
    """A teardown that did not finish in time: what is left, and why. A retry goes on waiting for the same objects."""


class GateFailed(LLMServeError):
    """The evaluation ran and missed at least one threshold. A retry asks the same model the same questions."""

    retryable = False

    def __init__(self, message: str, summary: dict[str, Any] | None = None):
        self.summary = summary or {}
        super().__init__(message)


class PlatformError(LLMServeError):
    """The platform answered with an error. ``status`` is the HTTP status, 0 where there was no answer; ``retry_after`` the
    seconds that it asked us to stay away."""

    retry_after = 0.0

    def __init__(self, message: str, *, status: int = 0):
        self.status = status
        super().__init__(message)


class NotFound(PlatformError):
    """404: the object is not there. Never raised for anything but a 404 of that very object."""


class AccessDenied(PlatformError):
    """401 or 403. The text names the verb, the resource and the permission to grant."""

    retryable = False


class Conflict(PlatformError):
    """409: somebody changed the object between our read and our write."""


class Rejected(PlatformError):
    """400, 422, an admission webhook's refusal, or an apply with an unknown field. The same input is refused again."""

    retryable = False


class Unavailable(PlatformError):
    """The platform could not be reached or kept answering 429 or 5xx."""
