"""``python tests/support/trim.py FROM TO``: copy histories without what no rule reads, compressed.

How recordings come into ``tests/pure/cases``: each keeps its name, its truth and every object at every moment, and loses the
noise of the API server and kubelet. The same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_provider_llmserve.replay.history import History

_UNREAD_KINDS = frozenset({"EndpointSlice", "Node"})
_UNREAD: Mapping[str, tuple[str, ...]] = {
    "": ("metadata.managedFields", "metadata.selfLink"),
    "Pod": (
        "spec.tolerations",
        "spec.schedulerName",
        "spec.dnsPolicy",
        "spec.enableServiceLinks",
        "spec.preemptionPolicy",
        "spec.priority",
        "status.hostIP",
        "status.hostIPs",
        "status.podIPs",
        "status.qosClass",
    ),
    "Event": ("source", "reportingComponent", "reportingInstance", "action", "metadata.resourceVersion", "metadata.uid"),
}
_UNREAD_OF_CONTAINERS = ("containerID", "imageID", "resources", "allocatedResources", "user", "volumeMounts")


def trimmed(line: Mapping[str, Any]) -> dict[str, Any] | None:
    """A line without what no rule reads; None where that is the whole line."""
    if "event" not in line:
        return dict(line)
    found = json.loads(json.dumps(line["object"]))
    kind = found.get("kind", "")
    if kind in _UNREAD_KINDS:
        return None
    for path in (*_UNREAD[""], *_UNREAD.get(kind, ())):
        *parents, last = path.split(".")
        inner = found
        for key in parents:
            inner = inner.get(key) or {}
        inner.pop(last, None)
    if kind == "Pod":
        status = found.get("status") or {}
        for one in (*status.get("containerStatuses", ()), *status.get("initContainerStatuses", ())):
            for key in _UNREAD_OF_CONTAINERS:
                one.pop(key, None)
            for ended in (one.get("state") or {}, one.get("lastState") or {}):
                (ended.get("terminated") or {}).pop("containerID", None)
    return {**line, "object": found}


def copy(source: Path, target: Path) -> int:
    """Write the trimmed ``source`` to ``target`` (.jsonl.gz); its size in bytes. Raises ValueError where it is no history."""
    History.read(source)
    raw = source.read_bytes()
    lines = [json.loads(x) for x in (gzip.decompress(raw) if source.suffix == ".gz" else raw).splitlines()]
    header = {k: v for k, v in lines[0].items() if k != "system"}
    kept = [header, *(short for line in lines[1:] if (short := trimmed(line)) is not None)]
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in kept)
    packed = gzip.compress(text.encode(), mtime=0)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(packed)
    return len(packed)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python tests/support/trim.py", description=__doc__)
    parser.add_argument("source", type=Path, help="a folder of histories (.jsonl)")
    parser.add_argument("target", type=Path, help="where the copies go, under the same names with .gz")
    options = parser.parse_args(argv)
    total = 0
    for path in sorted(options.source.rglob("*.jsonl")):
        target = options.target / path.relative_to(options.source)
        total += copy(path, target.with_name(target.name + ".gz"))
    print(f"{total} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
