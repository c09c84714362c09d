"""The forms of the deployments: the schema that Prefect creates from their parameters, and validates them with."""

from typing import Any

import pytest
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import is_valid_schema, validate

from flows.idle_shutdown import idle_shutdown, sweep_machines
from flows.orchestrator.trigger import request_key
from flows.plan_costs import plan_costs
from flows.process_batch import process_batch
from flows.process_document import process_document
from tasks.batches.batch import Batch
from tasks.core.jobs import Job
from tasks.core.options import Options
from tasks.planning.request import PlanRequest
from tasks.settings.reading import ReadSettings

FORMS = {process_document: Job, process_batch: Batch, plan_costs: PlanRequest}
FLOWS = [*FORMS, idle_shutdown, sweep_machines]


def _schema(flow: Any) -> dict[str, Any]:
    schema: dict[str, Any] = parameter_schema(flow).model_dump_for_openapi()
    is_valid_schema(schema)
    return schema


def _fields(flow: Any) -> dict[str, dict[str, Any]]:
    """The fields of a form in the order in which Prefect's UI shows them."""
    schema = _schema(flow)
    model = schema.get("definitions", {}).get(FORMS[flow].__name__, schema) if flow in FORMS else schema
    return dict(sorted(model["properties"].items(), key=lambda item: item[1]["position"]))


def _refused(flow: Any, **fields: Any) -> list[str]:
    """Why Prefect refuses parameters, in the form and over its API."""
    (name,) = _schema(flow)["properties"]
    return [error.message for error in validate({name: fields}, _schema(flow))]


@pytest.mark.parametrize(
    ("flow", "first"),
    [
        (process_document, ["document", "pages", "model", "backend", "output"]),
        (process_batch, ["sources", "pages", "model", "backend", "output"]),
        (plan_costs, ["sources", "pages", "model", "deadline", "budget_usd", "text_layer"]),
        (idle_shutdown, ["machine", "pool", "region"]),
        (sweep_machines, ["pool", "region"]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_common_fields_come_first(flow: Any, first: list[str]):
    assert list(_fields(flow))[: len(first)] == first


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_each_field_has_a_title_and_a_description_that_begins_a_sentence(flow: Any):
    for name, field in _fields(flow).items():
        assert field["title"], name
        assert field["description"][0].isupper(), name


@pytest.mark.parametrize("flow", FORMS, ids=lambda flow: flow.name)
def test_each_optional_field_explains_what_empty_means(flow: Any):
    for name, field in _fields(flow).items():
        if "default" not in field and name not in {"document", "password_block", "password_env", "output_block"}:
            assert "if empty" in field["description"] or name == "pages", name


def test_the_described_defaults_are_those_of_the_settings():
    fields, settings = _fields(process_document), ReadSettings()
    for name in ("attempts", "longest_side", "num_ctx", "num_predict"):
        told = f"HEARTH_READ__{name.upper()}, or {getattr(settings, name)}, if empty."
        assert fields[name]["description"].endswith(told), name


def test_units_are_described():
    units = {"longest_side": "pixels", "num_ctx": "tokens", "num_predict": "tokens", "max_usd": "USD"}
    for flow in (process_document, process_batch):
        for name, unit in units.items():
            assert unit in _fields(flow)[name]["title"], name


@pytest.mark.parametrize("flow", [process_document, process_batch], ids=lambda flow: flow.name)
def test_a_field_with_few_values_is_a_list(flow: Any):
    fields = _fields(flow)
    assert fields["backend"]["enum"] == ["auto", "ec2", "ecs", "embedded", "ollama", "sagemaker", "url"]
    assert (fields["fallback"]["enum"], fields["fallback"]["default"]) == (["none", "partial", "text-layer"], "none")


def test_a_batch_has_every_option_of_a_document():
    document, batch = _fields(process_document), _fields(process_batch)
    assert set(document) - set(batch) == {"document"}
    for name in Options.model_fields:
        assert {**document[name], "position": 0} == {**batch[name], "position": 0}


def test_a_batch_passes_every_option_to_its_documents_but_its_own():
    given = {
        **{"pages": "1", "backend": "embedded", "model": "m", "prompt": "p", "force": True, "strict": True},
        **{"fallback": "partial", "slots": 2, "attempts": 3, "longest_side": 99, "num_ctx": 512, "num_predict": 9},
        **{"require_gpu": True, "password_block": "b", "password_env": "E", "output": "/out"},
        **{"headers": "drop", "pictures": "placeholder", "profile": "gemma3", "text_layer": "auto"},
        **{"json_schema": '{"type":"object"}', "languages": "deu+eng"},
        **{"turn": "never", "straighten": "never"},
    }
    assert set(given) | {"output_block", "max_usd", "finish_within"} == set(Options.model_fields)
    batch = Batch.model_validate({**given, "max_usd": 1, "finish_within": "2h"})
    assert batch.job("/a.pdf") == Job.model_validate({**given, "document": "/a.pdf"})


@pytest.mark.parametrize(
    ("flow", "internal"),
    [(process_batch, {"part": "1", "max_minutes": 30}), (plan_costs, {"deadline_seconds": 60})],
    ids=lambda value: getattr(value, "name", ""),
)
def test_internal_fields_are_hidden_but_accepted(flow: Any, internal: dict[str, Any]):
    assert not internal.keys() & _fields(flow).keys()
    assert _refused(flow, **internal) == []
    assert FORMS[flow].model_validate(internal).model_dump(exclude_defaults=True) == internal


@pytest.mark.parametrize("flow", FORMS, ids=lambda flow: flow.name)
def test_a_misspelt_field_is_refused_before_a_run_is_created(flow: Any):
    required = {"document": "a.pdf"} if flow is process_document else {}
    assert _refused(flow, **required, outptu="x")


OF_BEFORE = [
    (process_document, {"document": "/a.pdf", "pages": "1-3", "force": False, "require_gpu": False, "strict": False}),
    (process_document, {"document": "/a.pdf", "output": None, "fallback": "partial", "slots": 8, "max_usd": 1.5}),
    (
        process_document,
        {"document": "/a.pdf", "password_env": "P", "password_block": "b", "output_block": "s3-bucket/r"},
    ),
    (process_batch, {}),
    (process_batch, {"sources": ["/in"], "max_minutes": 240, "finish_by": "06:00:00", "time_zone": "Europe/Berlin"}),
    (process_batch, {"part": "20261130T013000-1", "workers": 1, "worker_pages": 200, "output": "/out"}),
    (plan_costs, {"pages": 1000}),
    (plan_costs, {"sources": ["/in"], "deadline_seconds": 3600, "assume": {"page_seconds": "5-10"}, "stale_days": 7}),
]


@pytest.mark.parametrize(("flow", "fields"), OF_BEFORE)
def test_parameters_of_earlier_schedules_are_accepted(flow: Any, fields: dict[str, Any]):
    assert _refused(flow, **fields) == []
    FORMS[flow].model_validate(fields)


@pytest.mark.parametrize("flow", FORMS, ids=lambda flow: flow.name)
def test_a_deadline_is_a_duration(flow: Any):
    name, required = ("deadline", {}) if flow is plan_costs else ("finish_within", {})
    if flow is process_document:
        required = {"document": "a.pdf"}
    for told in ("2h", "90 minutes", "PT2H", "1 h 30 min"):
        assert _refused(flow, **required, **{name: told}) == []
        FORMS[flow].model_validate({**required, name: told})
    for told in ("soon", "2", "06:00"):
        assert _refused(flow, **required, **{name: told})
        with pytest.raises(ValueError, match="is not a duration"):
            FORMS[flow].model_validate({**required, name: told})


def test_a_deadline_of_a_day_is_written_as_a_clock_shows_it():
    assert _refused(process_batch, finish_by="06:00") == []
    assert _refused(process_batch, finish_by="six") != []


def test_the_earlier_of_two_deadlines_counts():
    assert Batch(max_minutes=30, finish_within="2h").minutes == 30
    assert Batch(finish_within="90 min").minutes == 90
    assert Batch().minutes is None
    assert PlanRequest(deadline="2h", deadline_seconds=60).seconds == 60


def test_requests_without_new_options_have_the_same_key_as_before():
    """An earlier version created this key, by which existing runs are found."""
    job = Job(document="/a.pdf", pages="1-3", slots=2)
    assert request_key(job, "its sha256") == "426413f5348a3e7864b551240cad8b35a3adde6bb68999fb84ef483364b02bbd"
