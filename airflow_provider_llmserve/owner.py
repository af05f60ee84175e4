"""Who deployed something, and which spec: the identity that guards every update and delete."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict


class Owner(BaseModel):
    """The task instance that deployed a serving run.

    ``key`` identifies the task instance across its tries: a retry takes its own deployment over, another
    run's deployment is a newer one and is never torn down by this run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    instance: str = ""
    """Id of the Airflow instance; two instances may run the same DAG against one cluster. Empty: not known."""
    dag_id: str = ""
    run_id: str = ""
    task_id: str = ""
    map_index: int = -1
    try_number: int = 0
    ti_id: str = ""
    """Airflow's task instance id (a uuid, new for every try)."""

    @property
    def key(self) -> str:
        """One text for the task instance, whatever the try: two tries of one task have the same."""
        return json.dumps([self.instance, self.dag_id, self.run_id, self.task_id, self.map_index])

    @property
    def in_words(self) -> str:
        """``dag / run / task``, with the map index of a mapped task, as far as they are known."""
        mapped = f"[{self.map_index}]" if self.map_index >= 0 else ""
        return " / ".join(x for x in (self.dag_id, self.run_id, self.task_id + mapped) if x) or "somebody else"

    def same_dag(self, other: Owner) -> bool:
        """Whether both are of one DAG of one Airflow instance."""
        return (self.instance, self.dag_id) == (other.instance, other.dag_id)


def digest(value: Any) -> str:
    """SHA-256, in hex, of the canonical JSON of ``value``."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
