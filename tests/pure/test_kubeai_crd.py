"""The Model CRD that the tests install says what KubeAI's published one says, descriptions aside."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

OURS = Path(__file__).parents[1] / "support" / "crds" / "kubeai.yaml"
PUBLISHED = Path(__file__).parents[3] / "shared" / "testbed" / "crds" / "kubeai.org_models.yaml"


def contract(path: Path) -> dict[str, Any]:
    """What a CRD accepts and how it is addressed."""
    (crd,) = (d for d in yaml.safe_load_all(path.read_text()) if d and d["metadata"]["name"] == "models.kubeai.org")
    names = {k: crd["spec"]["names"][k] for k in ("kind", "plural")}
    versions = [
        plain({k: v[k] for k in ("name", "served", "storage", "schema", "subresources")}) for v in crd["spec"]["versions"]
    ]
    return {"group": crd["spec"]["group"], "scope": crd["spec"]["scope"], "names": names, "versions": versions}


def plain(value: Any) -> Any:
    """Without descriptions; rules and lists whose order means nothing in one order."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if not (k == "description" and isinstance(v, str))}
    if isinstance(value, list):
        return sorted((plain(v) for v in value), key=partial(json.dumps, sort_keys=True))
    return value


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="KubeAI's published CRD is not beside the checkout (../shared/testbed/crds)")
def test_ours_is_the_published_contract() -> None:
    assert contract(OURS) == contract(PUBLISHED)
