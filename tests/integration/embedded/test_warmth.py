"""When a model is loaded, how long it stays, and what loads it anew."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import ollama
import pytest

from tests.support.waiting import until

pytestmark = pytest.mark.long("waits for models to be loaded and dropped: 15 s in all")

MODEL = "tesseract:eng"


@pytest.fixture
def pool():
    with ThreadPoolExecutor(16) as executor:
        yield executor


@pytest.fixture
def loads(dot):
    """Read a page, and return how often the server had loaded the model until then."""
    return lambda server, **body: json.loads(server.generate(images=[dot], **body).json()["response"])["loads"]


def test_a_server_starts_without_a_model_loaded(waiting):
    assert waiting().ollama.ps().models == []


def test_an_empty_prompt_loads_the_model(waiting):
    server = waiting()
    answer = server.ollama.generate(MODEL)
    assert (answer.response, answer.done, answer.done_reason) == ("", True, "load")
    assert server.loaded() == [MODEL]


def test_no_messages_load_the_model(waiting):
    server = waiting()
    answer = server.ollama.chat(MODEL)
    assert (answer.message.content, answer.done_reason) == ("", "load")
    assert server.loaded() == [MODEL]


@pytest.mark.parametrize(
    "unload", [lambda client: client.generate(MODEL, keep_alive=0), lambda client: client.chat(MODEL, keep_alive=0)]
)
def test_an_empty_request_with_keep_alive_0_unloads_it(waiting, unload):
    server = waiting()
    server.ollama.generate(MODEL)
    assert unload(server.ollama).done_reason == "unload"
    assert server.loaded() == []


def test_unloading_what_is_not_loaded_is_no_error(waiting):
    assert waiting().ollama.generate(MODEL, keep_alive=0).done_reason == "unload"


def test_ps_tells_what_is_loaded(reading):
    reading.ollama.generate(MODEL, options={"num_ctx": 8192})
    (model,) = reading.ollama.ps().models
    (listed,) = reading.ollama.list().models
    assert (model.digest, model.details.family) == (listed.digest, "tesseract")
    assert model.size == listed.size
    assert (model.size_vram, model.context_length) == (0, 8192)
    assert timedelta(minutes=1) < model.expires_at - datetime.now(UTC) <= timedelta(minutes=5)


def test_a_first_page_loads_the_model_itself(waiting, loads):
    assert loads(waiting("--num-parallel", "1")) == 1


def test_load_time_is_told_apart_from_reading_time(waiting, dot):
    answer = waiting("--num-parallel", "1", load_s=0.5, read_s=0.1).generate(images=[dot]).json()
    assert answer["load_duration"] / 1e9 >= 0.5
    assert answer["eval_duration"] / 1e9 >= 0.1
    assert answer["load_duration"] + answer["eval_duration"] <= answer["total_duration"]


def test_requests_that_wait_for_a_load_share_it(waiting, loads, pool):
    server = waiting("--num-parallel", "1", load_s=0.3)
    assert set(pool.map(lambda _: loads(server), range(6))) == {1}


def test_a_model_that_is_loading_is_listed_as_ollama_lists_it(waiting, gates, pool):
    gates.hold("load")
    server = waiting("--num-parallel", "1")
    load = pool.submit(server.ollama.generate, MODEL)
    until(server.loaded)
    assert not load.done()
    gates.let_go("load")
    assert load.result().done_reason == "load"


def test_a_client_that_leaves_aborts_its_load(waiting, gates, loads):
    gates.hold("load")
    server = waiting("--num-parallel", "1")
    load = server.send(prompt="")
    until(server.loaded)
    load.leave()
    until(lambda: any("POST /api/generate 499" in line for line in server.log))
    gates.let_go("load")
    until(lambda: server.loaded() == [])
    assert loads(server) == 2


def test_a_model_expires_after_its_last_use(waiting, loads):
    server = waiting("--num-parallel", "1", "--keep-alive", "1h")
    expires = []
    for _ in range(4):
        assert loads(server) == 1
        (model,) = server.ollama.ps().models
        expires.append(model.expires_at)
    assert expires == sorted(set(expires))  # each use puts it off
    assert loads(server, keep_alive="200ms") == 1
    until(lambda: server.loaded() == [])
    assert loads(server) == 2


def test_a_model_never_expires_while_it_is_in_use(waiting, gates, dot, pool):
    gates.hold()
    server = waiting("--num-parallel", "1")
    page = pool.submit(server.generate, images=[dot], keep_alive=0.1)
    until(lambda: gates.begun == 1)
    time.sleep(0.3)
    assert server.loaded() == [MODEL]
    gates.let_go()
    assert page.result().status_code == 200
    until(lambda: server.loaded() == [])


def test_a_page_with_keep_alive_0_is_read_before_the_model_goes(waiting, dot):
    server = waiting()
    assert server.generate(images=[dot], keep_alive=0).json()["done_reason"] == "stop"
    until(lambda: server.loaded() == [])


def test_unloading_waits_for_the_page_that_is_being_read(waiting, gates, dot, pool):
    gates.hold()
    server = waiting("--num-parallel", "1")
    page = pool.submit(server.generate, images=[dot])
    until(lambda: gates.begun == 1)
    assert server.ollama.generate(MODEL, keep_alive=0).done_reason == "unload"
    assert server.loaded() == [MODEL]
    gates.let_go()
    assert page.result().json()["done_reason"] == "stop"
    until(lambda: server.loaded() == [])


@pytest.mark.parametrize("forever", [-1, "-1m"])
def test_a_negative_keep_alive_is_for_ever(waiting, forever):
    server = waiting("--keep-alive", "100ms")
    server.ollama.generate(MODEL, keep_alive=forever)
    time.sleep(0.3)
    (model,) = server.ollama.ps().models
    assert model.expires_at.year > 2300


def test_a_keep_alive_holds_for_later_requests_that_give_none(waiting, dot):
    server = waiting("--keep-alive", "100ms")
    server.ollama.generate(MODEL, keep_alive="1h")
    server.generate(images=[dot])
    (model,) = server.ollama.ps().models
    assert model.expires_at - datetime.now(UTC) > timedelta(minutes=59)


@pytest.mark.parametrize(
    "change",
    [
        {"options": {"num_ctx": 8192}},
        {"options": {"num_batch": 1}},
        {"options": {"num_gpu": 0}},
        {"options": {"main_gpu": 1}},
        {"options": {"num_thread": 1}},
        {"options": {"use_mmap": True}},
        {"shift": False},
    ],
)
def test_another_load_option_loads_the_model_anew_once(shared, loads, change):
    before = loads(shared)
    assert [loads(shared, **change) - before, loads(shared, **change) - before] == [1, 1]


@pytest.mark.parametrize(
    "options", [{"num_ctx": 4096}, {"num_gpu": -1}, {"temperature": 0.5}, {"num_predict": 100}, {"main_gpu": 0}]
)
def test_defaults_spelled_out_and_other_options_load_nothing_anew(shared, loads, options):
    assert loads(shared) == loads(shared, options=options)


def test_a_reload_waits_for_the_page_that_is_being_read(waiting, gates, loads, dot, pool):
    gates.hold()
    server = waiting("--num-parallel", "1")
    page = pool.submit(loads, server)
    until(lambda: gates.begun == 1)
    reload = server.send(images=[dot], options={"num_ctx": 8192})
    gates.let_go()
    assert json.loads(reload.response()[1]["response"])["loads"] == 2
    assert page.result() == 1


def test_too_many_requests_are_turned_away_while_a_model_loads(waiting, gates):
    gates.hold("load")
    server = waiting("--num-parallel", "1", "--max-queue", "2")
    first = [server.send(prompt="") for _ in range(3)]  # one loads, two wait
    with pytest.raises(ollama.ResponseError) as caught:
        server.ollama.generate(MODEL)
    assert caught.value.status_code == 503
    assert caught.value.error == "server busy, please try again.  maximum pending requests exceeded"
    gates.let_go("load")
    assert {each.response()[1]["done_reason"] for each in first} == {"load"}


def test_nobody_is_turned_away_once_the_model_is_loaded(waiting, dot, pool):
    server = waiting("--num-parallel", "1", "--max-queue", "1", read_s=0.05)
    server.ollama.generate(MODEL)
    assert {each.status_code for each in pool.map(lambda _: server.generate(images=[dot]), range(8))} == {200}
