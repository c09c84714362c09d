"""Every setting, from HEARTH_* variables and .env: description, unit, bounds. The table in docs/ is made from these."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from tasks.core.errors import InputError
from tasks.core.jobs import BackendName
from tasks.core.paths import Place
from tasks.core.scaling import PAGES_A_SLOT
from tasks.settings.auto import AutoSettings
from tasks.settings.base import Section
from tasks.settings.ecs import EcsSettings, EcsStackSettings
from tasks.settings.metrics import MetricsSettings, MonitoringSettings
from tasks.settings.sagemaker import SagemakerSettings, SagemakerStackSettings
from tasks.settings.trigger import TriggerSettings

DEFAULT_PROMPT = (
    "Transcribe all text of this page image in natural reading order, as Markdown. "
    "Write tables as Markdown tables and formulas as LaTeX. "
    "Write nothing that is not on the page: no remarks, no description of pictures."
)


def _cache_directory() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hearth"


class ReadSettings(Section):
    """How a page is read."""

    prompt: str = Field(DEFAULT_PROMPT, min_length=1, description="What the model is told about each page image.")
    longest_side: int = Field(
        1288,
        ge=64,
        le=8192,
        description="Longest side of the page images, pixels. 1288 is what olmOCR uses (arXiv:2502.18443).",
    )
    num_ctx: int = Field(8192, ge=256, description="Context of the model, tokens; its memory is this times the slots.")
    num_predict: int = Field(4096, ge=1, description="Most tokens that one page may take.")
    attempts: int = Field(4, ge=1, le=20, description="Attempts at a page, the first at temperature 0.")
    timeout_seconds: float = Field(300, gt=0, description="Longest wait for one answer, seconds.")
    timeout_least_seconds: float = Field(
        30,
        gt=0,
        description="Shortest such wait, seconds. Between the two it is twice what the longest answer "
        "(`num_predict` tokens) would take, as measured on the pages before.",
    )
    retry_seconds: float = Field(
        60, ge=0, description="How long a request meets passing errors before the run stops, seconds."
    )


class LimitSettings(Section):
    """What is refused before it hurts."""

    file_mb: int = Field(1024, ge=1, description="Largest PDF, megabytes.")
    pages: int = Field(20_000, ge=1, description="Most pages of a PDF.")
    image_megapixels: int = Field(
        250, ge=1, description="Largest single picture on a page, megapixels; a page over it fails, the others go on."
    )
    render_seconds: float = Field(60, gt=0, description="Longest time to render one page, seconds.")
    render_memory_mb: int = Field(4096, ge=256, description="Memory of the rendering process, megabytes (Linux).")


class WarmSettings(Section):
    """How long to wait for a server and its model."""

    deadline_seconds: float = Field(
        900, gt=0, description="From asking for the server to its first page, a download not counted, seconds."
    )
    answer_seconds: float = Field(
        30,
        gt=0,
        description="How long a server that was started or found may take to answer, seconds.",
    )
    pull_seconds: float = Field(3600, gt=0, description="Longest download of the model, seconds.")
    load_seconds: float = Field(600, gt=0, description="Longest load of the model, seconds.")


class Access(StrEnum):
    """How runs reach a machine's Ollama."""

    PRIVATE = "private"
    TOKEN = "token"  # noqa: S105 - a word, not a secret
    TUNNEL = "tunnel"


class SpotPolicy(StrEnum):
    """Which market machines are bought on."""

    AUTO = "auto"
    """Spot first, on demand where there is none."""
    SPOT = "spot"
    ON_DEMAND = "on_demand"


class Ec2Settings(Section):
    """The pool of EC2 machines."""

    pool: str = Field(
        "default",
        pattern=r"^[a-z][a-z0-9-]{0,19}$",
        description="Name of the pool of machines; its CloudFormation stack is `hearth-<pool>`.",
    )
    region: str | None = Field(None, description="AWS region; AWS's own configuration if unset.")
    spot_policy: SpotPolicy = Field(
        SpotPolicy.AUTO, description="Market: spot, on_demand, or auto (spot first, on demand where there is none)."
    )
    types: tuple[str, ...] = Field(
        ("g4dn.xlarge", "g4dn.2xlarge", "g5.xlarge", "g6.xlarge"),
        min_length=1,
        description="Instance types, the preferred one first (JSON list). Without a GPU: c5.2xlarge.",
    )
    zones: tuple[str, ...] = Field((), description="Availability zones (JSON list); all of the pool's if empty.")
    max_price: float | None = Field(None, gt=0, description="Most that a machine may cost, USD per hour.")
    max_usd_a_day: float | None = Field(
        None,
        gt=0,
        description="When the pool has cost so much since midnight UTC, whoever used it, no page is begun and no "
        "machine is started, USD.",
    )
    capacity_seconds: float = Field(600, gt=0, description="How long to go on asking for a machine, seconds.")
    start_seconds: float = Field(300, gt=0, description="From launch or start until EC2 says running, seconds.")
    boot_seconds: float = Field(
        1200, gt=0, description="From running until Ollama answers; without a baked AMI it is installed then, seconds."
    )
    lease_seconds: float = Field(
        180, gt=0, description="How long a machine stays leased to a run that died or lost AWS, seconds."
    )
    machines: int = Field(1, ge=1, le=64, description="Machines that one run reads on at once, at the most.")
    pages_a_slot: float = Field(
        PAGES_A_SLOT,
        ge=0,
        description="A further one of them comes for so many pages for each of its slots, pages; 0: as soon as a page "
        "would wait for it.",
    )
    poll_seconds: float = Field(3, gt=0, description="How often EC2 is asked about a machine, seconds.")
    terminate_hours: float = Field(24, ge=0, description="How long a stopped machine is kept before it goes, hours.")


class Ec2StackSettings(Section):
    """What `hearth infra up ec2` deploys."""

    access: Access = Field(
        Access.PRIVATE,
        description="How runs reach Ollama: private (its private address), token (TLS and a bearer token, for callers "
        "outside the network), tunnel (SSM port forwarding, no inbound port).",
    )
    model: str = Field("qwen2.5vl:7b", min_length=1, description="Model that machines pull while they boot.")
    ollama_version: str = Field("0.33.0", pattern=r"^\d+\.\d+\.\d+$", description="Ollama that machines install.")
    slots: int = Field(8, ge=1, le=256, description="OLLAMA_NUM_PARALLEL.")
    num_ctx: int = Field(8192, ge=256, description="OLLAMA_CONTEXT_LENGTH, tokens.")
    disk_gb: int = Field(100, ge=60, le=16_000, description="Size of the gp3 disk, GB.")
    disk_throughput: int = Field(500, ge=125, le=1000, description="Of the gp3 disk, MB/s; it bounds a model's load.")
    watchdog_minutes: float = Field(
        15, gt=0, description="Without a request for so long, a machine shuts itself down, minutes."
    )
    lifetime_hours: float = Field(12, gt=0, description="No machine runs longer than this, hours.")
    metrics: bool = Field(
        False,
        description="Machines tell CloudWatch their GPUs' use, requests in flight and leases: 8 metrics a pool, "
        "USD 0.30 a month each, for the hours in which a machine runs.",
    )
    subnets: tuple[str, ...] = Field((), description="Subnet ids (JSON list); the default VPC's if empty.")
    base_ami_parameter: str = Field(
        "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id",
        description="Public SSM parameter of the AMI to start from.",
    )


_PREFIX = "HEARTH_"
_OF_THE_EMBEDDED_SERVER = {"HEARTH_EMBEDDED_MODELS", "HEARTH_TESSDATA"}


class Settings(BaseSettings):
    """All of Hearth's settings. A nested one is written HEARTH_READ__NUM_CTX."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        env_file=".env",
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    backend: BackendName = Field(BackendName.AUTO, description="Where the model runs.")
    url: str | None = Field(
        None,
        validation_alias=AliasChoices("HEARTH_URL", "LLAMA_API_URL", "OLLAMA_HOST"),
        description="An Ollama server that someone else runs. LLAMA_API_URL and OLLAMA_HOST are read as well.",
    )
    model: str | None = Field(None, description="Ollama's name of the model; the backend's default if unset.")
    slots: int | None = Field(
        None, ge=1, le=256, description="Pages in flight at once; the backend's default if unset."
    )
    idle_minutes: float = Field(
        10, gt=0, description="How long a server that Hearth started stays warm after its last use, minutes."
    )
    output: Annotated[Place, NoDecode] = Field(
        Path("results"), description="Directory of the results, or s3://bucket/prefix."
    )
    inbox: Annotated[Place, NoDecode] = Field(
        Path("inbox"), description="Folder, or s3://bucket/prefix, that a batch reads which names no sources."
    )
    home: Path = Field(default_factory=_cache_directory, description="Where Hearth keeps track of its servers.")

    @field_validator("output", "inbox", "home")
    @classmethod
    def _absolute(cls, place: Place) -> Place:
        return place.expanduser().absolute() if isinstance(place, Path) else place

    excerpts: bool = Field(
        True,
        description="Whether Prefect is shown the first 80 characters of each page; no for confidential documents.",
    )
    read: ReadSettings = ReadSettings()
    limits: LimitSettings = LimitSettings()
    warm: WarmSettings = WarmSettings()
    ec2: Ec2Settings = Ec2Settings()
    ec2_stack: Ec2StackSettings = Ec2StackSettings()
    metrics: MetricsSettings = MetricsSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    sagemaker: SagemakerSettings = SagemakerSettings()
    sagemaker_stack: SagemakerStackSettings = SagemakerStackSettings()
    ecs: EcsSettings = EcsSettings()
    ecs_stack: EcsStackSettings = EcsStackSettings()
    trigger: TriggerSettings = TriggerSettings()
    auto: AutoSettings = AutoSettings()


def load_settings() -> Settings:
    """Read the settings from the environment and .env.

    Raises:
        InputError: one is not what it should be, or there is no such setting; the message names it.
    """
    known = {f"{_PREFIX}{name}".upper() for name in Settings.model_fields} | _OF_THE_EMBEDDED_SERVER
    for variable in os.environ:
        if variable.startswith(_PREFIX) and variable.upper().partition("__")[0] not in known:
            raise _unknown(variable)
    try:
        return Settings()
    except (SettingsError, RuntimeError) as error:
        raise InputError(f"A setting is wrong: {error}. Correct it in the environment or in .env.") from None
    except ValidationError as error:
        first = error.errors()[0]
        name = _PREFIX + "__".join(str(part) for part in first["loc"]).upper()
        if first["type"] == "extra_forbidden":
            raise _unknown(name) from None
        raise InputError(
            f"The setting {name} is wrong: {first['msg']}. Correct it in the environment or in .env."
        ) from None


def _unknown(variable: str) -> InputError:
    return InputError(f"There is no setting {variable}. docs/reference.md lists those that there are.")
