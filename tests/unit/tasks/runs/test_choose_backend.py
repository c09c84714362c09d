"""What `auto` takes of AWS: only what was named, the cheapest for the use, and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.core.errors import InputError
from tasks.core.jobs import BackendName
from tasks.costs.assumptions import Assumptions
from tasks.costs.price_book import Term, shipped_book
from tasks.planning.cheapest import suitable
from tasks.runs.choose_backend import choose_backend
from tasks.settings.settings import AutoSettings, Settings, load_settings
from tests.support.commands import Hearth
from tests.support.pdfs import written

EC2, ECS, SAGEMAKER = BackendName.EC2, BackendName.ECS, BackendName.SAGEMAKER
ALL = (EC2, ECS, SAGEMAKER)


def suits(backends=ALL, pages=50, runs_a_day=3.0, max_usd=100.0, term=Term.ON_DEMAND):
    given = dict.fromkeys(backends, Assumptions())
    return suitable(backends, pages, runs_a_day, max_usd, given, shipped_book(), term)


def auto(tmp_path: Path, **given):
    made = Settings(home=tmp_path, auto=AutoSettings(**given))
    return choose_backend(BackendName.AUTO, made)


class TestDecision:
    def test_a_rare_run_goes_to_one_machine_that_stops(self):
        decided = suits()
        assert decided.backend is EC2
        assert "one machine, auto-stop" in decided.why
        assert decided.why.startswith("runs of 50 pages, 3 a day: ec2")
        assert "before" in decided.why

    def test_steady_use_goes_to_one_that_is_always_on(self):
        assert "one machine, always on" in suits(runs_a_day=300).why

    def test_more_than_one_machine_can_read_goes_to_several(self):
        decided = suits(runs_a_day=2000)
        assert decided.backend is ECS
        assert "ec2" in decided.why.rpartition(";")[2]

    def test_what_is_not_deployed_is_not_taken(self):
        assert suits((ECS,)).backend is ECS
        assert suits((SAGEMAKER,)).backend is SAGEMAKER

    def test_nothing_that_may_cost_more_than_was_allowed(self):
        decided = suits(max_usd=0.01)
        assert decided.backend is None
        assert "HEARTH_AUTO__MAX_USD" in decided.why

    def test_nothing_where_nothing_keeps_up(self):
        decided = suits((EC2,), runs_a_day=1e6)
        assert decided.backend is None
        assert "none of ec2" in decided.why

    def test_spot_is_cheaper_and_said(self):
        assert "spot" in suits(term=Term.SPOT).why


@pytest.mark.usefixtures("clean_environment")
class TestAuto:
    def test_aws_is_never_taken_unasked(self, tmp_path):
        assert auto(tmp_path).backend.name not in ALL

    def test_it_is_taken_where_it_was_named_and_says_why(self, tmp_path):
        choice = auto(tmp_path, backends=("ec2", "ecs"))
        assert choice.backend.name is EC2
        assert "is the cheapest before ecs" in choice.why
        assert choice.unasked

    def test_a_server_that_somebody_runs_comes_first(self, tmp_path):
        made = Settings(home=tmp_path, url="http://10.0.0.5:11434", auto=AutoSettings(backends=(EC2,)))
        assert choose_backend(BackendName.AUTO, made).backend.name is BackendName.URL

    def test_a_service_is_reckoned_with_as_it_is_deployed(self, tmp_path):
        use = AutoSettings(backends=(ECS,), runs_a_day=2000, max_usd=100)
        for max_tasks, keeps_up in ((8, True), (1, False)):
            made = Settings(home=tmp_path, auto=use, ecs_stack={"max_tasks": max_tasks})
            assert (choose_backend(BackendName.AUTO, made).backend.name is ECS) == keeps_up

    def test_an_endpoint_is_reckoned_with_as_it_answers(self, tmp_path):
        queued = auto(tmp_path, backends=("sagemaker",))
        assert "sagemaker (SageMaker async, auto-stop" in queued.why
        made = Settings(
            home=tmp_path, auto=AutoSettings(backends=(SAGEMAKER,)), sagemaker_stack={"serving": "realtime"}
        )
        assert "SageMaker real time, auto-stop" in choose_backend(BackendName.AUTO, made).why

    def test_over_the_budget_this_machine_reads_and_says_why(self, tmp_path):
        choice = auto(tmp_path, backends=("ec2",), max_usd=0.001)
        assert choice.backend.name not in ALL
        assert "HEARTH_AUTO__MAX_USD" in choice.why

    def test_a_backend_that_is_not_on_aws_is_refused(self, monkeypatch):
        monkeypatch.setenv("HEARTH_AUTO__BACKENDS", '["embedded"]')
        with pytest.raises(InputError, match="HEARTH_AUTO__BACKENDS"):
            load_settings()


@pytest.mark.long("brings up whole pools to choose from")
@pytest.mark.parametrize(
    ("runs_a_day", "told"),
    [
        (3, "a machine of the EC2 pool 'default': runs of 50 pages, 3 a day: ec2 (one machine, auto-stop"),
        (300, "300 a day: ec2 (one machine, always on"),
        (2000, "the ECS service of the pool 'default': runs of 50 pages, 2000 a day: ecs"),
    ],
    ids=["sporadic", "steady", "many users"],
)
def test_the_command_says_what_it_takes_and_why_before_it_costs(
    hearth: Hearth, tmp_path: Path, runs_a_day: int, told: str
):
    """AWS itself is out of reach."""
    settings = {
        **{"HEARTH_AUTO__BACKENDS": '["ec2", "ecs", "sagemaker"]', "HEARTH_AUTO__RUNS_A_DAY": str(runs_a_day)},
        **{"HEARTH_AUTO__MAX_USD": "100", "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_REGION": "us-east-1"},
        **{"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"},
    }
    outcome = hearth("read", written(tmp_path / "paper.pdf", "A page."), **settings)
    assert outcome.code == 1
    assert told in " ".join(outcome.err.split())
