"""How requests share the slots of a loaded model."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

READ_S = 0.4


@pytest.fixture
def ask(dot):
    """Send a page and give what the engine saw: its place in the order, and how many were busy."""

    def send(server, timeout=30.0, **body):
        response = server.http.post(
            "/api/generate",
            json={"model": "tesseract:eng", "prompt": "x", "stream": False, "images": [dot]} | body,
            timeout=timeout,
        )
        answer = response.json()
        return json.loads(answer["response"]) | {"answer": answer}

    return send


@pytest.fixture
def pool():
    with ThreadPoolExecutor(16) as executor:
        yield executor


def warm(waiting, slots, read_s=READ_S):
    server = waiting("--num-parallel", str(slots), read_s=read_s)
    server.ollama.generate("tesseract:eng")
    return server


def in_turn(pool, ask, server, count, **body):
    """Start requests one after the other, so that they arrive in this order."""
    futures = []
    for _ in range(count):
        futures.append(pool.submit(ask, server, **body))
        time.sleep(0.05)
    return futures


def test_no_more_requests_are_read_at_once_than_there_are_slots(waiting, ask, pool):
    server = warm(waiting, 2, read_s=0.2)
    seen = [future.result() for future in [pool.submit(ask, server) for _ in range(7)]]
    assert max(each["busy"] for each in seen) == 2


def test_every_slot_is_used(waiting, ask, pool):
    server = warm(waiting, 4)
    seen = [future.result() for future in [pool.submit(ask, server) for _ in range(4)]]
    assert max(each["busy"] for each in seen) == 4


def test_those_who_wait_are_served_in_order_of_arrival(waiting, ask, pool):
    server = warm(waiting, 1, read_s=0.2)
    seen = [future.result()["order"] for future in in_turn(pool, ask, server, 6)]
    assert seen == [1, 2, 3, 4, 5, 6]


def test_chat_and_generate_wait_in_the_same_line(waiting, ask, pool, dot):
    server = warm(waiting, 1, read_s=0.2)
    first = in_turn(pool, ask, server, 1)
    messages = [{"role": "user", "content": "x", "images": [dot]}]
    chat = pool.submit(server.ollama.chat, "tesseract:eng", messages)
    time.sleep(0.05)
    last = in_turn(pool, ask, server, 1)
    orders = [first[0].result()["order"], json.loads(chat.result().message.content)["order"], last[0].result()["order"]]
    assert orders == [1, 2, 3]


def test_the_time_in_the_queue_is_what_the_durations_leave_over(waiting, ask, pool):
    server = warm(waiting, 1)
    first, second = [future.result()["answer"] for future in in_turn(pool, ask, server, 2)]

    def queued(answer):
        spent = answer["load_duration"] + answer["prompt_eval_duration"] + answer["eval_duration"]
        return (answer["total_duration"] - spent) / 1e9

    assert queued(first) < 0.1
    assert READ_S - 0.2 < queued(second) < READ_S + 0.2
    assert second["eval_duration"] / 1e9 == pytest.approx(READ_S, abs=0.1)


def test_a_client_that_leaves_the_queue_never_occupies_a_slot(waiting, ask, pool):
    server = warm(waiting, 1)
    first = in_turn(pool, ask, server, 1)
    with pytest.raises(httpx.ReadTimeout):
        ask(server, timeout=0.1)
    third = in_turn(pool, ask, server, 1)
    assert [future.result()["order"] for future in (*first, *third)] == [1, 2]


def test_the_slot_of_a_client_that_left_is_free_when_its_page_has_been_read(waiting, ask, pool):
    server = warm(waiting, 1)
    with pytest.raises(httpx.ReadTimeout):
        ask(server, timeout=0.1)
    started = time.monotonic()
    second = ask(server)
    assert (second["order"], second["busy"]) == (2, 1)
    assert time.monotonic() - started < 2 * READ_S + 0.3


def test_a_client_that_left_is_logged_with_ollamas_status(waiting, ask):
    server = warm(waiting, 1)
    with pytest.raises(httpx.ReadTimeout):
        ask(server, timeout=0.1)
    time.sleep(0.1)
    assert any("POST /api/generate 499" in line for line in server.log)


def test_many_clients_that_leave_cost_no_slot(waiting, ask, pool):
    server = warm(waiting, 2, read_s=0.1)

    def leave(_):
        with pytest.raises(httpx.ReadTimeout):
            ask(server, timeout=0.05)

    list(pool.map(leave, range(12)))
    seen = [future.result() for future in [pool.submit(ask, server) for _ in range(4)]]
    assert max(each["busy"] for each in seen) == 2


def test_the_engine_runs_in_as_many_threads_as_slots(waiting, ask, pool):
    """Eight waits side by side take hardly longer than one."""
    server = warm(waiting, 8)
    started = time.monotonic()
    list(pool.map(lambda _: ask(server), range(8)))
    assert time.monotonic() - started < 2 * READ_S
