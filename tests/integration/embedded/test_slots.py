"""How requests share the slots of a loaded model."""

import json

import pytest

from tests.support.waiting import until

MODEL = "tesseract:eng"


@pytest.fixture
def warm(waiting):
    """Starts servers with so many slots and the model loaded."""

    def started(slots, read_s=0.0):
        server = waiting("--num-parallel", str(slots), read_s=read_s)
        server.ollama.generate(MODEL)
        return server

    return started


@pytest.fixture
def send(dot):
    """Sends a page, and returns when it has arrived."""
    return lambda server, **body: server.send(images=[dot], **body)


def seen(sent):
    """Return the engine's report: the page's position in the order, and how many readers were busy."""
    status, answer = sent.response()
    assert status == 200, answer
    return json.loads(answer["response"]) | {"answer": answer}


def test_no_more_requests_are_read_at_once_than_there_are_slots(warm, send, gates):
    gates.hold()
    server = warm(2)
    sent = [send(server) for _ in range(7)]
    until(lambda: gates.begun == 2)
    gates.let_go()
    assert max(seen(each)["busy"] for each in sent) == 2


def test_every_slot_is_used(warm, send, gates):
    """As many threads of the engine as there are slots are at work side by side."""
    gates.hold()
    server = warm(8)
    sent = [send(server) for _ in range(8)]
    until(lambda: gates.begun == 8)
    gates.let_go()
    assert max(seen(each)["busy"] for each in sent) == 8


def test_those_who_wait_are_served_in_order_of_arrival(warm, send, gates):
    gates.hold()
    server = warm(1)
    sent = [send(server) for _ in range(6)]
    gates.let_go()
    assert [seen(each)["order"] for each in sent] == [1, 2, 3, 4, 5, 6]


def test_chat_and_generate_wait_in_the_same_line(warm, send, gates, dot):
    gates.hold()
    server = warm(1)
    first = send(server)
    chat = server.send("/api/chat", messages=[{"role": "user", "content": "x", "images": [dot]}])
    last = send(server)
    gates.let_go()
    _, answer = chat.response()
    orders = [seen(first)["order"], json.loads(answer["message"]["content"])["order"], seen(last)["order"]]
    assert orders == [1, 2, 3]


def test_the_time_in_the_queue_is_what_the_durations_leave_over(warm, send):
    read_s = 0.4
    server = warm(1, read_s)
    first, second = [seen(sent)["answer"] for sent in [send(server) for _ in range(2)]]

    def queued(answer):
        spent = answer["load_duration"] + answer["prompt_eval_duration"] + answer["eval_duration"]
        return answer["total_duration"] - spent

    # While it waits, the page before it is read; that one has waited for none.
    assert queued(first) < queued(second) <= first["total_duration"]
    assert second["eval_duration"] >= read_s * 1e9


def test_a_client_that_leaves_the_queue_never_occupies_a_slot(warm, send, gates):
    gates.hold()
    server = warm(1)
    first = send(server)
    send(server).leave()
    until(lambda: logged(server, 499))
    third = send(server)
    gates.let_go()
    assert [seen(sent)["order"] for sent in (first, third)] == [1, 2]


def test_the_slot_of_a_client_that_left_is_free_when_its_page_has_been_read(warm, send, gates):
    gates.hold()
    server = warm(1)
    left = send(server)
    until(lambda: gates.begun == 1)
    left.leave()
    second = send(server)
    assert gates.begun == 1
    gates.let_go()
    found = seen(second)
    assert (found["order"], found["busy"]) == (2, 1)


def test_a_client_that_left_is_logged_with_ollamas_status(warm, send, gates):
    gates.hold()
    server = warm(1)
    send(server).leave()
    until(lambda: logged(server, 499))


def logged(server, status):
    return any(f"POST /api/generate {status}" in line for line in server.log)


def test_many_clients_that_leave_cost_no_slot(warm, send, gates):
    gates.hold()
    server = warm(2)
    for sent in [send(server) for _ in range(12)]:
        sent.leave()
    until(lambda: sum("POST /api/generate 499" in line for line in server.log) == 12)
    gates.let_go()
    until(lambda: seen(send(server))["busy"] == 1)  # what those who left had begun is read by now
    gates.hold()
    begun = gates.begun
    sent = [send(server) for _ in range(4)]
    until(lambda: gates.begun == begun + 2)
    gates.let_go()
    assert max(seen(each)["busy"] for each in sent) == 2
