"""What users and Airflow see: names, template fields, provider metadata, the connection's form."""

from __future__ import annotations

import inspect
import json
from importlib import import_module
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from airflow_provider_llmserve import operators, sensors
from airflow_provider_llmserve.errors import BadInput
from airflow_provider_llmserve.hooks.llmserve import LLMServeHook, settings_of
from airflow_provider_llmserve.provider_info import get_provider_info
from airflow_provider_llmserve.settings import Settings

SURFACE = ("operators", "sensors", "endpoint", "specs", "errors")
"""What a DAG author imports from; everything else may move."""
OPERATORS = [getattr(operators, name) for name in operators.__all__] + [getattr(sensors, name) for name in sensors.__all__]


@pytest.mark.parametrize("name", SURFACE)
def test_the_public_names_are_listed_in_order_and_all_there(name: str) -> None:
    module = import_module(f"airflow_provider_llmserve.{name}")
    # Ruff's order (RUF022): constants, classes, functions, each by name.
    assert list(module.__all__) == sorted(set(module.__all__), key=lambda n: (not n.isupper(), not n[0].isupper(), n))
    public = {listed: getattr(module, listed) for listed in module.__all__}
    assert all(value.__doc__ for value in public.values() if callable(value))
    # What is defined there (or, in a package that imports lazily, below it) and shows no underscore is meant to be used.
    made_here = {n for n, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
    assert {n for n in made_here if not n.startswith("_")} <= public.keys()


def test_every_operator_and_sensor_of_a_module_is_public() -> None:
    """The packages import them lazily, so what their modules define is looked for there."""
    for package in (operators, sensors):
        folder = Path(package.__file__).parent
        modules = [import_module(f"{package.__name__}.{p.stem}") for p in folder.glob("[a-z]*.py")]
        made = {n for m in modules for n, value in vars(m).items() if getattr(value, "__module__", "") == m.__name__}
        # ServeOperator is the base of the two that serve.
        wanted = {n for n in made if n.endswith(("Operator", "Sensor"))} - {"ServeOperator"}
        assert wanted == set(package.__all__)


def test_provider_info_fits_airflows_schema() -> None:
    schema = json.loads(files("airflow").joinpath("provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def test_everything_that_provider_info_names_can_be_imported() -> None:
    info = get_provider_info()
    for section in ("operators", "sensors", "hooks"):
        for entry in info[section]:
            for module in entry["python-modules"]:
                import_module(module)
    for path in [*info["extra-links"], *(c["hook-class-name"] for c in info["connection-types"])]:
        module, _, name = path.rpartition(".")
        assert getattr(import_module(module), name)


def test_the_form_has_exactly_the_settings() -> None:
    (connection,) = get_provider_info()["connection-types"]
    assert set(connection["conn-fields"]) == set(Settings.model_fields)
    assert connection["connection-type"] == LLMServeHook.conn_type


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda o: o.__name__)
def test_template_fields_are_parameters(operator: type) -> None:
    parameters: set[str] = set()
    for cls in operator.__mro__:
        if cls.__module__.startswith("airflow_provider_llmserve"):
            parameters |= set(inspect.signature(cls.__init__).parameters)
    assert set(operator.template_fields) <= parameters
    assert operator.__doc__


def test_empty_form_values_are_left_out_and_json_text_is_read() -> None:
    settings = settings_of({"platform": "local", "state_dir": "", "port": None, "models": '{"hf://a/b": "/m.gguf"}'}, "c")
    assert settings.models == {"hf://a/b": "/m.gguf"}
    assert settings.state_dir is None


@pytest.mark.parametrize(
    ("extra", "word"),
    [
        ({}, "platform"),
        ({"platform": "moon"}, "platform: .*unknown platform 'moon'; known: kubernetes, local"),
        ({"platform": "local", "modells": {}}, "modells"),
        ({"platform": "local", "models": "{"}, "no JSON"),
    ],
)
def test_a_bad_connection_is_named(extra: dict, word: str) -> None:
    with pytest.raises(BadInput, match=word):
        settings_of(extra, "connection 'c'")


def test_the_package_is_code_and_nothing_of_the_recordings() -> None:
    """The wheel is the package's folder as it stands: what only a developer needs lives beside it."""
    package = Path(operators.__file__).parents[1]
    found = [p.relative_to(package).as_posix() for p in package.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")]
    assert found == ["py.typed"]
    assert {p.stem for p in (package / "replay").glob("*.py")} == {"__init__", "__main__", "hearing", "history", "judge", "stamp"}
