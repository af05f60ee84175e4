"""What Kubernetes refuses about a pod, told before any write.
(``tests/cluster/test_hf_accepts.py`` compares with the real thing.)"""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_llmserve.runtimes.huggingface.pod_rules import is_label_key, is_label_value, pod_findings
from airflow_provider_llmserve.specs import HuggingFaceServe


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"node_selector": {"a b": "x"}}, "label key"),
        ({"node_selector": {"zone": "-x"}}, "label value"),
        ({"tolerations": [{}]}, "operator must be Exists"),
        ({"tolerations": [{"key": "a b", "operator": "Exists"}]}, "label key"),
        ({"tolerations": [{"key": "a", "operator": "Exists", "value": "x"}]}, "no value"),
        ({"tolerations": [{"key": "a", "operator": "equal"}]}, "none of Exists"),
        ({"tolerations": [{"key": "a", "value": "-"}]}, "label value"),
        ({"tolerations": [{"key": "a", "effect": "Never"}]}, "effect 'Never'"),
        ({"tolerations": [{"key": "a", "tolerationSeconds": 3}]}, "NoExecute"),
        (
            {"volumes": [{"volume_type": "shared_volume", "name": "v", "mount_path": "/x", "spec": {"subPath": "../y"}}]},
            "subPath",
        ),
        ({"volumes": [{"volume_type": "shared_volume", "name": "v", "mount_path": "/x", "spec": {"subPath": "/y"}}]}, "subPath"),
        ({"volumes": [{"volume_type": "ephemeral", "name": "v", "mount_path": "/x", "spec": {"size": "0"}}]}, "size 0"),
        ({"volumes": [{"volume_type": "ephemeral", "name": "v", "mount_path": "/x", "spec": {"size": "lots"}}]}, "size lots"),
        (
            {"volumes": [{"volume_type": "ephemeral", "name": "v", "mount_path": "/x", "spec": {"storageClass": "A b"}}]},
            "storage class",
        ),
        ({"path": "pvc://c/m", "volumes": [{"volume_type": "empty_dir", "name": "v", "mount_path": "/mnt/models/"}]}, "already"),
    ],
)
def test_refused(fields: dict[str, Any], says: str) -> None:
    (found,) = pod_findings(HuggingFaceServe.parse({"path": "hf://a/b", **fields}))
    assert says in found


def test_accepted() -> None:
    fields = {
        "path": "hf://a/b",
        "node_selector": {"example.com/zone": "", "k" * 63: "v" * 63},
        "tolerations": [
            {"operator": "Exists"},
            {"key": "a", "value": "b", "effect": "NoExecute", "tolerationSeconds": 3},
        ],
        "volumes": [{"volume_type": "empty_dir", "name": "v", "mount_path": "/x", "spec": {"sizeLimit": "0", "subPath": "a/b"}}],
    }
    assert list(pod_findings(HuggingFaceServe.parse(fields))) == []


@pytest.mark.parametrize("key", ["", "/a", "a/", "a/b/c", "A/b", "x" * 64, "-a", "a_"])
def test_no_label_keys(key: str) -> None:
    assert not is_label_key(key)
    assert key == "" or not is_label_value(key)
