"""Judge a served model on a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_llmserve.operators._base import PlatformOperator, airflow_errors

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_provider_llmserve.operators._base import EndpointLike

_ASKING = ("api", "system_prompt", "max_tokens", "concurrency", "request_timeout", "request_retries", "max_error_rate")
_ASKED = ("endpoint", "dataset", "adapter", "metrics", "gates", "baseline", "results", "columns", "labels", "system_prompt")


class EvaluateOperator(PlatformOperator):
    """Ask a served model every row of a data set, score the answers, and fail where a gate is missed.

    Before the first request and after the last it looks whether the endpoint still names what stands there, and fails where
    another run's model, or another spec, took the place.

    Returns a summary: ``metrics`` (mean and, for proportions, a 95 % interval), ``errors`` by class, ``gates`` with their
    figures, ``verdict``, ``latency_s``, the data set's digest, and ``results``, the URL of the per-sample results. A failed
    evaluation leaves its summary in XCom too, for a task that runs all the same. See ``docs/evaluation.md``.

    :param endpoint: a serve task's output. (templated)
    :param dataset: URL of a JSON lines file for Airflow's ObjectStoragePath; a row is ``{"prompt": …, "expected": …}`` or
        ``{"messages": […], "expected": …}``. (templated)
    :param adapter: which adapter to ask, by its name or its stem before the digest; None asks the base. (templated)
    :param metrics: names out of ``docs/metrics.md``; None: ``exact_match`` for text, ``accuracy`` and ``macro_f1`` for a
        classifier. (templated)
    :param gates: thresholds, ``{"metric": "exact_match", "min":
        0.8}`` (also ``max``, and ``min_gain`` over the baseline). (templated)
    :param baseline: another evaluation's output, on the same data set and asked alike, for ``min_gain``. (templated)
    :param results: URL for the per-sample results, JSON lines, which replace what lies there once they are complete; None:
        ``<dag>/<run>/<task>/<try>.jsonl`` under Airflow's ``[llmserve] results``, else beside a data set that lies in a store
        (``<data set>.results/``), else in the worker's own folder. (templated)
    :param columns: our column names to the data set's, ``{"prompt": "question", "expected": "answer"}``. (templated)
    :param labels: names of a classifier's classes in the order of their numbers; None: the data set expects numbers. (templated)
    :param api: ``chat`` (a prompt becomes a user's message) or ``completion`` (sent as it is).
    :param system_prompt: put before every row's messages. (templated)
    :param max_tokens: the longest answer, in tokens.
    :param concurrency: requests in flight at once.
    :param request_timeout: seconds for one request, which is then asked anew.
    :param request_retries: how often one sample is asked anew.
    :param max_error_rate: the largest share of samples that may stay without an answer, 0 to 1.
    """

    template_fields: Sequence[str] = (*_ASKED, "llmserve_conn_id")
    template_fields_renderers = {"gates": "json", "endpoint": "json", "baseline": "json"}
    ui_color = "#e6f2d8"

    def __init__(
        self,
        *,
        endpoint: EndpointLike,
        dataset: str | XComArg,
        adapter: str | XComArg | None = None,
        metrics: Sequence[str] | XComArg | None = None,
        gates: Sequence[Mapping[str, Any]] | XComArg = (),
        baseline: Mapping[str, Any] | XComArg | str | None = None,
        results: str | XComArg | None = None,
        columns: Mapping[str, str] | XComArg | None = None,
        labels: Sequence[str] | XComArg | None = None,
        api: Literal["chat", "completion"] = "chat",
        system_prompt: str | XComArg | None = None,
        max_tokens: int = 64,
        concurrency: int = 8,
        request_timeout: float = 30.0,
        request_retries: int = 5,
        max_error_rate: float = 0.01,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.endpoint = endpoint
        self.dataset = dataset
        self.adapter = adapter
        self.metrics = metrics
        self.gates = gates
        self.baseline = baseline
        self.results = results
        self.columns = columns
        self.labels = labels
        self.api = api
        self.system_prompt = system_prompt
        self.max_tokens = max_tokens
        self.concurrency = concurrency
        self.request_timeout = request_timeout
        self.request_retries = request_retries
        self.max_error_rate = max_error_rate

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_llmserve.evaluation.plan import EvaluationPlan
        from airflow_provider_llmserve.platforms.evaluate import evaluate, refuse_failed

        ti = context["ti"]
        with airflow_errors():
            wanted = {name: getattr(self, name) for name in {*_ASKED, *_ASKING}}
            plan = EvaluationPlan.parse(**{**wanted, "columns": self.columns or {}})
            results = plan.results or _default_results(plan.dataset, ti)
            self.log.info("per-sample results go to %s", results)
            summary = evaluate(plan, results=results, confirm=lambda: self.confirm(plan.endpoint))
            if summary["verdict"] == "failed":
                ti.xcom_push(key="return_value", value=summary)
            refuse_failed(summary)
            return summary


def _default_results(dataset: str, ti: Any) -> str:
    from airflow.sdk.configuration import conf

    from airflow_provider_llmserve.evaluation.results_url import default_url
    from airflow_provider_llmserve.platforms.inference.storage import own_folder

    return default_url(
        dataset,
        configured=conf.get("llmserve", "results", fallback=""),
        own=own_folder(),
        dag=ti.dag_id,
        run=ti.run_id,
        task=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        try_number=ti.try_number,
    )
