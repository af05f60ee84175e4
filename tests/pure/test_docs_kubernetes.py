"""What docs/kubernetes.md tells a platform engineer to type is what the code takes."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

from airflow_provider_llmserve.runtimes.huggingface.profile import Profile
from airflow_provider_llmserve.settings import Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "kubernetes.md").read_text()


def test_the_connection_can_be_made() -> None:
    (extra,) = re.findall(r"--conn-extra \\\n +'(.*)'", TEXT)
    assert Settings.model_validate(json.loads(extra)).platform == "kubernetes"


def test_each_field_of_the_connection_is_listed() -> None:
    listed = set(re.findall(r"^\| `([a-z_]+)` \|", TEXT.partition("## Rights")[0], re.MULTILINE))
    (ours,) = re.findall(r"    # kubernetes\n(.*?)(?=\n    # |\Z)", inspect.getsource(Settings), re.DOTALL)
    assert listed == set(re.findall(r"^    ([a-z_]+):", ours, re.MULTILINE))


def test_the_profile_is_one() -> None:
    (profiles,) = re.findall(r'^ +(\{"profiles".*?\}\})$', TEXT, re.MULTILINE | re.DOTALL)
    for name, raw in json.loads(profiles)["profiles"].items():
        assert Profile.parse(raw, name).resources.gpu == "1"


def test_each_optional_right_is_one_of_the_role() -> None:
    role = (ROOT / "deploy" / "rbac.yaml").read_text()
    table = TEXT.partition("| without |")[2].partition("A right that is")[0]
    rights = {r for row in table.splitlines()[2:] for r in re.findall(r"`([a-z/]+)`", row.split("|")[1] if "|" in row else "")}
    assert {"pods/proxy", "events", "pods/log", "leases"} <= rights
    assert [r for r in rights if r not in role] == []
