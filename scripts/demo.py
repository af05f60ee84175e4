"""``make demo``: run example_dags/refresh_adapter.py under Airflow on this machine, and tell what happened.

Progress comes while it runs; everything Airflow says goes to .demo/airflow.log. The account at the end is read back from the
run's XComs (also kept as .demo/outputs.json), and that nothing is left running is looked up, not assumed.
Another DAG of example_dags can be named: ``python scripts/demo.py serve_kubeai_text``. Elsewhere than on this machine: set
LLMSERVE_DEMO_CONNECTION to the extra of an ``llmserve`` connection (JSON) and LLMSERVE_DEMO_ADAPTERS to a bucket.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
HOME = Path(os.environ.get("LLMSERVE_DEMO_HOME", ROOT / ".demo"))
LOG = HOME / "airflow.log"
STATE = HOME / "serving"
CONNECTION = json.loads(os.environ.get("LLMSERVE_DEMO_CONNECTION", "null")) or {"platform": "local", "state_dir": str(STATE)}
ENVIRONMENT = {
    "AIRFLOW_HOME": str(HOME / "airflow"),
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
    "AIRFLOW_CONN_LLMSERVE_DEFAULT": json.dumps({"conn_type": "llmserve", "extra": CONNECTION}),
    "AIRFLOW_VAR_LLMSERVE_ADAPTERS": os.environ.get("LLMSERVE_DEMO_ADAPTERS", (HOME / "adapters").as_uri()),
    "TOKENIZERS_PARALLELISM": "false",
    "NO_COLOR": "1",
}
STARTS = re.compile(r"\[DAG TEST\] starting task_id=(\S+)")
OURS = re.compile(r"\[\w+ *\] (.*?) \[(?:training|airflow_provider_llmserve)[\w.]*\]")


def airflow(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("airflow")), *arguments]


def prepare_database() -> None:
    """``airflow db migrate``, once for each version of Airflow."""
    migrated = HOME / f"migrated-{version('apache-airflow')}"
    if not migrated.exists():
        print("Preparing Airflow's database …", flush=True)
        subprocess.run(airflow("db", "migrate"), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        migrated.touch()


def run_dag(dag_id: str) -> int:
    """``airflow dags test``, what it says about our tasks shown as it comes."""
    started = time.monotonic()
    with LOG.open("w") as log:
        process = subprocess.Popen(
            airflow("dags", "test", dag_id),
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            if shown := progress(line):
                print(f"{time.monotonic() - started:6.1f} s  {shown}", flush=True)
        return process.wait()


def progress(line: str) -> str | None:
    """The part of a log line that says how far we are, None for the others."""
    if started := STARTS.search(line):
        return f"— {started[1]} —"
    ours = OURS.search(line)
    return ours[1].strip() if ours else None


def outputs(dag_id: str) -> dict[str, Any]:
    """What each task of the DAG's newest run returned."""
    from airflow.models.dagrun import DagRun
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        run_id = session.scalar(select(DagRun.run_id).where(DagRun.dag_id == dag_id).order_by(DagRun.id.desc()).limit(1))
        rows = session.execute(
            select(XComModel).where(XComModel.dag_id == dag_id, XComModel.run_id == run_id, XComModel.key == "return_value")
        ).scalars()
        return {row.task_id: XComModel.deserialize_value(row) for row in rows}


def account(out: dict[str, Any]) -> str:
    """The run in words and figures."""
    trained, uploaded, endpoint = out["train"], out["upload"], out["serve"]
    base, tuned = out["evaluate_base"], out["evaluate_adapter"]
    names = [endpoint["openai"]["model"], *endpoint["openai"]["adapterModels"].values()]
    gates = "; ".join(gate["text"] for gate in tuned["gates"])

    def score(summary: dict[str, Any]) -> str:
        figure = summary["metrics"]["exact_match"]
        return f"{figure['mean']:.2f}"

    return "\n".join(
        [
            f"Training      loss {trained['loss_before']:.3f} before, {trained['loss_after']:.3f} after",
            f"Upload        {uploaded['url']}",
            f"              {uploaded['digest']}, {uploaded['size'] / 1e6:.1f} MB, rank {uploaded['rank']}",
            f"Endpoint      {endpoint['openai']['baseUrl']}",
            f"              served names: {', '.join(names)}",
            f"Evaluation    exact match on {tuned['n']} held-out questions: base {score(base)}, adapter {score(tuned)}",
            f"Gate          {tuned['verdict']}: {gates}",
            f"Teardown      {left_over(endpoint)}",
        ]
    )


def left_over(endpoint: dict[str, Any]) -> str:
    """What still runs of the serving: looked up among the processes and ports of this machine; elsewhere the task has waited."""
    if endpoint["identity"]["platform"] != "local":
        return "done; the task ended when the last pod was gone"
    port = urlsplit(endpoint["service"]["url"]).port
    with socket.socket() as probe:
        probe.settimeout(1)
        listening = probe.connect_ex(("127.0.0.1", port)) == 0
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    ours = [line for line in processes.splitlines() if "airflow_provider_llmserve.platforms.local" in line and str(STATE) in line]
    if listening or ours:
        return f"NOT complete: port {port} {'open' if listening else 'closed'}, {len(ours)} processes left"
    return f"done; port {port} is closed and no process is left"


def main(dag_id: str = "refresh_adapter") -> int:
    HOME.mkdir(parents=True, exist_ok=True)
    os.environ.update(ENVIRONMENT)
    started = time.monotonic()
    prepare_database()
    print(f"Running example_dags/{dag_id}.py (all of Airflow's log: {LOG})", flush=True)
    code = run_dag(dag_id)
    out = outputs(dag_id)
    (HOME / "outputs.json").write_text(json.dumps(out, indent=1))
    if code != 0 or "teardown" not in out:
        print(f"\nThe run failed; finished tasks: {', '.join(sorted(out)) or 'none'}. See {LOG}")
        return 1
    if dag_id == "refresh_adapter":
        print(f"\n{account(out)}")
    else:
        print(f"\nTeardown      {left_over(out['serve'])}")
    print(f"\nTook {time.monotonic() - started:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
