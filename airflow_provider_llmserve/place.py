"""Where a serving run lives: a name means nothing without it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Place(BaseModel):
    """One namespace of one cluster, or one state folder of one host. An empty field is not known and is not compared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    platform: str
    """Its name in ``registry``: ``kubernetes``, ``local``."""
    cluster: str = ""
    """UID of the namespace: it tells two clusters apart, and a namespace from one made anew under its name."""
    namespace: str = ""
    host: str = ""
    """Host name of the machine, on the local platform."""
    state_dir: str = ""
    """Absolute path of the state folder, on the local platform."""

    def differs(self, other: Place) -> bool:
        """Whether a field that both know is not the same."""
        if self.platform != other.platform:
            return True
        mine, theirs = self.model_dump(), other.model_dump()
        return any(mine[f] and theirs[f] and mine[f] != theirs[f] for f in mine)

    @property
    def in_words(self) -> str:
        """``kubernetes, namespace kubeai (uid 4f…)``, ``local, state folder /x on host h``."""
        if self.platform == "local":
            return f"local, state folder {self.state_dir or '?'} on host {self.host or '?'}"
        uid = f" (uid {self.cluster})" if self.cluster else ""
        return f"{self.platform}, namespace {self.namespace or '?'}{uid}"
