"""Milliseconds that importing all operators and sensors adds to ``airflow.sdk``: median of fresh interpreters, interleaved.

Last line: ``import_ms=…``. A DAG file imports ``airflow.sdk`` with ``dag`` and ``BaseOperator`` anyway; that is the base.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

BASE = "from airflow.sdk import BaseOperator, BaseOperatorLink, BaseSensorOperator, PokeReturnValue, dag, task\n"
OURS = (
    "from airflow_provider_llmserve import operators, sensors\n"
    "[getattr(operators, n) for n in operators.__all__]; [getattr(sensors, n) for n in sensors.__all__]\n"
)
CLOCK = "import time; start = time.perf_counter()\n{}print((time.perf_counter() - start) * 1000)"


def milliseconds(code: str) -> float:
    """What importing takes in one fresh interpreter: ours is timed after the base, in the same process."""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(run.stdout.split()[-1])


def main() -> None:
    milliseconds(CLOCK.format(BASE + OURS))  # warms the disk cache and writes the byte code
    base, ours = [], []
    for _ in range(7):
        base.append(milliseconds(CLOCK.format(BASE)))
        ours.append(milliseconds(BASE + CLOCK.format(OURS)))
    print(f"airflow.sdk alone: {statistics.median(base):.0f} ms")
    print(f"all operators and sensors after it: {min(ours):.0f} to {max(ours):.0f} ms in {len(ours)} runs")
    print(f"import_ms={statistics.median(ours):.1f}")


if __name__ == "__main__":
    main()
