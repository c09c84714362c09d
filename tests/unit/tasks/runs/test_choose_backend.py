"""`auto` chooses a backend that costs nothing; one on AWS is used only by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.backends.registry import BACKENDS
from tasks.core.errors import InputError
from tasks.core.jobs import BackendName
from tasks.runs.choose_backend import choose_backend
from tasks.settings.settings import Settings, load_settings

ON_AWS = [name for name, known in BACKENDS.items() if known.status is not None]


@pytest.mark.usefixtures("clean_environment")
class TestAuto:
    def test_auto_never_chooses_a_backend_on_aws(self, tmp_path: Path):
        settings = Settings(home=tmp_path, ec2={"pool": "theirs"}, ecs_stack={"max_tasks": 8})
        assert choose_backend(BackendName.AUTO, settings).backend.name not in ON_AWS

    def test_a_server_that_somebody_runs_comes_first(self, tmp_path: Path):
        settings = Settings(home=tmp_path, url="http://10.0.0.5:11434")
        choice = choose_backend(BackendName.AUTO, settings)
        assert choice.backend.name is BackendName.URL
        assert "HEARTH_URL" in choice.why

    @pytest.mark.parametrize("name", ON_AWS)
    def test_a_backend_on_aws_is_used_by_its_name(self, tmp_path: Path, name: BackendName):
        settings = Settings(home=tmp_path, ec2={"region": "us-east-1"})
        assert choose_backend(name, settings).backend.name is name

    @pytest.mark.parametrize("variable", ["HEARTH_AUTO__BACKENDS", "HEARTH_AUTO__MAX_USD", "HEARTH_AUTO"])
    def test_the_settings_by_which_it_did_are_refused_with_what_to_set_instead(
        self, monkeypatch: pytest.MonkeyPatch, variable: str
    ):
        monkeypatch.setenv(variable, "1")
        with pytest.raises(InputError, match=rf"{variable} was removed.*HEARTH_BACKEND.*`hearth plan`"):
            load_settings()
