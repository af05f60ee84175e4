"""JSON Schemas of the specs for editors, and their reference page: ``python -m airflow_provider_llmserve.specs.schema``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow_provider_llmserve.specs.base import ServeSpec
from airflow_provider_llmserve.specs.huggingface import HuggingFaceServe
from airflow_provider_llmserve.specs.kubeai import KubeAIText

SPECS: tuple[type[ServeSpec], ...] = (KubeAIText, HuggingFaceServe)
Schema = dict[str, Any]

_INTRO = """\
# Spec reference

<!-- Made by `python -m airflow_provider_llmserve.specs.schema`; change the specs, not this page. -->

What `KubeAITextServeOperator` and `HuggingFaceServeOperator` take as `spec`: a mapping of these fields, a `KubeAIText` or
`HuggingFaceServe` object, a `.yaml` file, or DigitalHub's own documents (a function with its run or task). Field names are
DigitalHub's. Words like `VLLM` may be written in any case. A field that is null counts as absent; one that is not listed here
is refused.

Editors: `# yaml-language-server: $schema=…/docs/schema/<kind>.schema.json` at the top of a `.yaml` file brings completion and
checks (the schemas list words in their canonical case).
"""


def json_schema(cls: type[ServeSpec]) -> Schema:
    """The JSON Schema (2020-12) of what ``parse_spec`` takes as a mapping of ``cls``'s fields."""
    schema = cls.model_json_schema()
    schema["properties"] = {"kind": {"const": cls.kind, "type": "string"}, **schema["properties"]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": cls.kind}


def reference() -> str:
    """The reference page, in Markdown."""
    parts = [_INTRO]
    for cls in SPECS:
        schema = json_schema(cls)
        parts.append(f"\n## {cls.__name__} (`{cls.kind}`)\n\n{_table(schema, schema)}")
        for name in _nested(schema, schema):
            part = schema["$defs"][name]
            parts.append(f"\n### {name}\n\n{_prose(part['description'])}\n\n{_table(part, schema)}")
    return "".join(parts)


def files(root: Path) -> dict[Path, str]:
    """What this module writes, below the repository's ``root``."""
    made = {
        root / "docs" / "schema" / f"{cls.kind}.schema.json": json.dumps(json_schema(cls), indent=2, ensure_ascii=False) + "\n"
        for cls in SPECS
    }
    return {**made, root / "docs" / "specs.md": reference()}


def _nested(part: Schema, schema: Schema) -> Iterator[str]:
    """Names of the specs within a spec, depth first, in order of their fields."""
    for prop in part["properties"].values():
        name = _ref(prop)
        if name is not None and "properties" in schema["$defs"][name] and not prop.get("deprecated"):
            yield name
            yield from _nested(schema["$defs"][name], schema)


def _ref(prop: Schema) -> str | None:
    for inner in (prop, prop.get("items", {}), *prop.get("anyOf", ())):
        if "$ref" in inner:
            return str(inner["$ref"]).rpartition("/")[2]
    return None


def _table(part: Schema, schema: Schema) -> str:
    rows = ["| field | type | default | allowed | meaning |", "|---|---|---|---|---|"]
    for name, prop in part["properties"].items():
        if prop.get("deprecated") or "const" in prop:
            continue
        cells = (f"`{name}`", _type(prop), _default(name, prop, part), _allowed(prop), prop.get("description", ""))
        rows.append("| " + " | ".join(_prose(c).replace("|", "\\|") for c in cells) + " |")
    return "\n".join(rows) + "\n"


def _prose(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


def _default(name: str, prop: Schema, part: Schema) -> str:
    if name in part.get("required", ()):
        return "required"
    value = prop.get("default")
    return "" if value in (None, [], {}) or _ref(prop) else f"`{json.dumps(value)}`"


def _type(prop: Schema) -> str:
    if "$ref" in prop:
        name = str(_ref(prop))
        return f"[{name}](#{name.lower()})"
    if "anyOf" in prop:
        return " or ".join(_type(p) for p in prop["anyOf"] if p.get("type") != "null")
    kind = prop.get("type", "")
    if kind == "array":
        return f"list of {_type(prop['items'])}" if prop.get("items") else "list"
    if kind == "object":
        return "mapping"
    return {"integer": "int", "string": "str", "boolean": "bool"}.get(kind, "str") if isinstance(kind, str) else "str"


def _allowed(prop: Schema) -> str:
    choices = [prop, prop.get("items", {}), *prop.get("anyOf", ())]
    words: list[str] = []
    for c in choices:
        if "enum" in c:
            words.append(", ".join(f"`{w}`" for w in c["enum"]))
        if "examples" in c:
            words.append(", ".join(f"`{w}`" for w in c["examples"]) + " …")
        if c.get("format") == "uri":
            words.append("a URL")
        if "minimum" in c and "maximum" in c and c["maximum"] < 2**31 - 1:
            words.append(f"{c['minimum']} to {c['maximum']}")
        elif "minimum" in c:
            words.append(f"{c['minimum']} or more")
        if "maxLength" in c and c is prop:
            words.append(f"at most {c['maxLength']} characters")
        if "maxItems" in c:
            words.append(f"at most {c['maxItems']}")
    return "; ".join(words)


def main() -> None:
    """Write the schemas and the reference page into the checkout."""
    for path, text in files(Path(__file__).parents[2]).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
