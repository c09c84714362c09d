"""Find the file with Hearth's deployments: in the wheel, or at the root of a checkout."""

from pathlib import Path

_NAME = "prefect.yaml"


def prefect_yaml() -> Path:
    """Return its path."""
    in_wheel = Path(__file__).with_name(_NAME)
    return in_wheel if in_wheel.is_file() else Path(__file__).parents[2] / _NAME


if __name__ == "__main__":
    print(prefect_yaml())  # noqa: T201 - for `prefect deploy --prefect-file`
