"""Weights that a server made up because its model lacks them: it starts, answers, and what it says is chance.

Transformers loads a model for another task than it was trained for, initialises what is missing at random, and only logs that:
a table since 5.0 (``utils/loading_report.py``), a sentence before (``modeling_utils.py``). vLLM refuses such a model by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from airflow_provider_llmserve.readiness.containers import containers
from airflow_provider_llmserve.readiness.fields import name_of
from airflow_provider_llmserve.readiness.log_lines import tidy, without_colours
from airflow_provider_llmserve.readiness.observed import Object, Observed
from airflow_provider_llmserve.readiness.pods import PodTrouble, pod_ready
from airflow_provider_llmserve.readiness.reasons import REASONS
from airflow_provider_llmserve.readiness.state import Evidence

WORD = "weights_misfit"
_TITLE = re.compile(r"(\w+) LOAD REPORT from: ")
_SENTENCE = re.compile(
    r"Some weights of (?:the model )?(\w+) were not initialized from the .{0,300}? newly initialized"
    r"(?:: \[([^\]]*)\]| because the shapes did not match:((?:\s*- .+)*))"
)
_COMPUTED = re.compile(r"position_ids|inv_freq|masked_bias|attn\.bias|masked_spec_embed|num_batches_tracked")
"""Buffers that are computed, not learned, and what only training uses: older models report them for every checkpoint."""


def missing_weights(log: str) -> str:
    """Which weights of which class were made up, in words (``BertForMaskedLM: cls.predictions.bias, …``); empty where none that
    decides an answer was.

    Weights of the model that the class does not use (UNEXPECTED) decide nothing. A pooler does only in a class with a head on it
    (``…For…``): embeddings of a bare model are pooled from its last layer, and language-model heads stand beside the pooler.
    """
    made_up: dict[str, list[str]] = {}
    for model, weight in (*_tables(log), *_sentences(log)):
        harmless = _COMPUTED.search(weight) or ("pooler." in weight and "For" not in model)
        if not harmless and weight not in made_up.setdefault(model, []):
            made_up[model].append(weight)
    return "; ".join(f"{model}: {_some(weights)}" for model, weights in made_up.items() if weights)


def misfit_of(pods: Iterable[Object], observed: Observed) -> PodTrouble | None:
    """The first ready pod whose server says that it made up weights, as its log of this run tells."""
    for pod in pods:
        started = {one.name: one for one in containers(pod) if one.running}
        for log in observed.logs if pod_ready(pod) else ():
            if log.pod != name_of(pod) or log.previous or log.container not in started:
                continue
            missing = missing_weights(log.text)
            if missing:
                return _trouble(log.pod, log.container, missing)
    return None


def _trouble(pod: str, container: str, missing: str) -> PodTrouble:
    return PodTrouble(
        pod=pod,
        reason=WORD,
        summary=f"the server of pod {pod} answers with weights that it made up: the model lacks them",
        detail=f"Newly initialized: {missing}",
        evidence=(Evidence(f"Pod {pod}", f"log of {container}", missing),),
        fatal=REASONS[WORD].impossible,
        container=container,
    )


def _tables(log: str) -> Iterator[tuple[str, str]]:
    """Class and weight of each row that is missing, or whose shape does not fit."""
    model = ""
    for line in log.splitlines():
        title = _TITLE.search(without_colours(line))
        if title:
            model = title[1]
        cells = [cell.strip() for cell in tidy(line).split("|")]
        if model and len(cells) > 1 and cells[1] in ("MISSING", "MISMATCH"):
            yield model, cells[0]


def _sentences(log: str) -> Iterator[tuple[str, str]]:
    for found in _SENTENCE.finditer(without_colours(log)):
        listed = re.findall(r"'([^']+)'", found[2] or "")
        shapes = re.findall(r"- (\S+): found shape", found[3] or "")
        for weight in (*listed, *shapes):
            yield found[1], weight


def _some(weights: list[str]) -> str:
    weights = sorted(weights)
    return ", ".join(weights[:4]) + (f" and {len(weights) - 4} more" if len(weights) > 4 else "")
