"""How a machine is to behave."""

from __future__ import annotations

from dataclasses import dataclass, field

STAGES = ("starting Ollama",)


@dataclass(frozen=True)
class Plan:
    """A machine's behaviour, from its boot on.

    Attributes:
        boot_s: seconds from running to serving.
        serves: False is a machine on which Ollama never starts.
        answers: False is a server that accepts connections and answers nothing.
        stages: what it tells in hearth:stage while it boots, evenly over boot_s; "serving" follows if it serves.
        fails: what it tells instead of serving, such as "failed: pulling qwen2.5vl:7b"; nothing serves then.
        slots: requests that it works on at once.
        engine: package.module:function; None is the real engine.
        engine_s: seconds a page, for the engines of tests.integration.prefect.engines.
        model: its name, for engines other than the real one.
        pulled: False: the model is missing until it is pulled.
        pull_s: how long a pull takes.
        model_mb: what a load reads from the disk, MB.
        disk_mb_s: how fast a disk that fills from a snapshot gives that, MB/s; None: there is nothing to wait for.
        hangs_from: from this request to /api/generate on, nothing is answered; 1 is the first.
        dies_at: Ollama is killed by this request to /api/generate, the loading one included.
        watchdog: settings of machine.py, such as {"HEARTH_IDLE_SECONDS": "1"}; None: no watchdog runs.
    """

    boot_s: float = 0.0
    serves: bool = True
    answers: bool = True
    stages: tuple[str, ...] = STAGES
    fails: str | None = None
    slots: int = 2
    engine: str | None = "tests.integration.prefect.engines:echo"
    engine_s: float = 0.0
    model: str = "tesseract:eng"
    pulled: bool = True
    pull_s: float = 0.0
    model_mb: float = 6000.0
    disk_mb_s: float | None = None
    hangs_from: int | None = None
    dies_at: int | None = None
    watchdog: dict[str, str] | None = field(default=None)

    @property
    def load_s(self) -> float:
        """How long the first load takes."""
        return self.model_mb / self.disk_mb_s if self.disk_mb_s else 0.0
