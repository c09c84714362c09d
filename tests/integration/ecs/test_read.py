"""A run on the ECS service, judged by the balancer that it goes through: SIMULATED, see balancer.py and world.py."""

from __future__ import annotations

import pytest

from tasks.costs.bill import Bill
from tests.support.aws.reading import Reading, complete, paper
from tests.support.commands import Hearth, Outcome
from tests.support.ecs.world import SLOTS, World

PAGES = 40
"""Worth two tasks: ten pages for each of the two slots of both."""


def bill(ecs: Hearth) -> Bill:
    told = ecs("cost", "--by", "document", "--json")
    assert told.code == 0, told.err
    return Bill.model_validate_json(told.out)


def failures(outcome: Outcome) -> list[str]:
    """Of all requests for a page that were not the last."""
    pages = [outcome.page(number) for number in range(1, PAGES + 1)]
    return [attempt["reason"] for page in pages for attempt in page["attempts"] if attempt["reason"]]


@pytest.mark.long("takes 14 s; test_ecs_backend has each step")
def test_pages_in_flight_follow_the_number_of_tasks_during_a_run(ecs: Hearth, world: World):
    world.hold()
    reading = Reading(ecs, paper(ecs.directory, PAGES))
    world.wait(lambda: world.alb.in_flight == 2 * SLOTS)
    assert (world.desired, world.warm()) == (2, 2)
    # What the alarm sees that scales out.
    world.wait(lambda: max(world.metric("PagesWaitingPerSlot"), default=0) > 5)
    world.scale(4)
    world.wait(lambda: world.alb.in_flight == 4 * SLOTS)
    assert [target.most for target in world.alb.targets.values()] == [SLOTS] * 4
    assert "1 run that still reads, or was killed: paper on " in bill(ecs).notes[-1]

    # Two go: they end the pages that they have, and get no others.
    going = list(world.alb.targets.values())[2:]
    world.scale(2)
    world.wait(lambda: all(target.draining for target in going))
    world.wait(lambda: world.ledger()["parts"] == 2)
    world.let_go()
    complete(reading.ended(), PAGES)
    assert [(target.most, target.pages) for target in going] == [(SLOTS, SLOTS)] * 2
    assert max(target.most for target in world.alb.targets.values()) == SLOTS
    assert failures(reading.outcome) == []
    (machine,) = reading.outcome.manifest["machines"]
    assert machine["kind"] == "ECS tasks on g4dn.xlarge"
    assert 0 < machine["usd"] / machine["seconds"] * 3600 < 4 * 0.526
    told = bill(ecs)
    assert "still reads" not in " ".join(told.notes)
    (line,) = told.lines
    assert (line.name, line.total_usd) == (
        "paper",
        pytest.approx(machine["usd"], rel=0.05),
    )  # from taking to giving back
    assert line.boot > 0
    assert 'pool="default",status="read"' in ecs("metrics").out  # and not the backend's name

    # SIMULATED: the alarm that hears of no run any more.
    world.scale(0)
    world.wait(lambda: len(world.ended) == 4)
    assert world.ended == [0] * 4
    assert not world.alb.targets


@pytest.mark.long("reads a document on several tasks; test_ecs_backend has the steps")
def test_pages_of_a_dead_task_are_read_on_the_others(ecs: Hearth, world: World):
    world.hold()
    reading = Reading(ecs, paper(ecs.directory, PAGES))
    world.wait(lambda: [target.pages for target in world.alb.targets.values()] == [SLOTS] * 2)
    world.most = 1
    world.kill(next(iter(world.tasks)))
    world.wait(lambda: world.warm() == 1)
    world.wait(lambda: world.ledger()["parts"] == 1)
    world.let_go()
    # Pages that were sent again before the run had seen the task go wait inside the other (docs/how-to/ecs.md);
    # from then on:
    world.wait(lambda: world.alb.in_flight <= SLOTS and len(world.alb.targets) == 1)
    (left,) = world.alb.targets.values()
    left.most = 0
    complete(reading.ended(), PAGES)
    assert left.most == SLOTS
    assert set(failures(reading.outcome)) == {"unavailable"}


@pytest.mark.long("reads a document on several tasks; test_ecs_backend has the steps")
def test_start_warms_two_tasks_up_and_a_run_uses_them(ecs: Hearth, world: World):
    started = ecs("start")
    assert started.code == 0, started.err
    assert f"is warm at {world.alb.url} with " in started.out
    world.wait(lambda: (world.desired, world.warm()) == (2, 2))
    reading = Reading(ecs, paper(ecs.directory, 3))
    complete(reading.ended(), 3)
    assert world.desired == 2
