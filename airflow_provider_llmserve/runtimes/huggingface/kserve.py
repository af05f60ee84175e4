"""KServe's words: annotations, labels, modes. Read in v0.20.0 (pkg/constants/constants.go) and the tags before it."""

from __future__ import annotations

from airflow_provider_llmserve.runtimes.huggingface.flags import Version

MODE = "serving.kserve.io/deploymentMode"
AUTOSCALER = "serving.kserve.io/autoscalerClass"
STOP = "serving.kserve.io/stop"
STORAGE_SECRET = "serving.kserve.io/storageSecretName"
DISABLE_AUTO_UPDATE = "serving.kserve.io/disable-auto-update"
ISVC_LABEL = "serving.kserve.io/inferenceservice"

STANDARD, KNATIVE = "Standard", "Knative"
_ALIASES = {"RawDeployment": STANDARD, "Serverless": KNATIVE}
NEW_WORDS_SINCE: Version = (0, 16)


def mode_of(word: str) -> str:
    """The mode in today's words; any other word as it is."""
    return _ALIASES.get(word, word)


def mode_word(mode: str, version: Version | None) -> str:
    """The mode as that version of KServe spells it: up to 0.15 RawDeployment and Serverless."""
    today = mode_of(mode)
    if version is None or version >= NEW_WORDS_SINCE:
        return today
    return next((old for old, new in _ALIASES.items() if new == today), today)
