"""EC2's reasons for a machine's state (docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html)."""

from __future__ import annotations

from tasks.backends.ec2.machine import Machine

_KEY_REFUSED = "Client.InternalError"
_LASTING = {_KEY_REFUSED, "Client.InvalidSnapshot.NotFound", "Client.VolumeLimitExceeded"}
WHY = {
    "Server.SpotInstanceTermination": "EC2 took the spot machine back",
    "Server.SpotInstanceShutdown": "EC2 took the spot machine back",
    "Client.InstanceInitiatedShutdown": "it powered itself off",
    "Client.UserInitiatedShutdown": "it was stopped through AWS",
    _KEY_REFUSED: "EC2 could not launch it, mostly for the key of its disk",
}
"""The reasons in words, by EC2's code."""


def state_text(machine: Machine) -> str:
    """Return a machine's state and EC2's reason for it."""
    return f"{machine.state} ({machine.explained.rstrip('. ')})" if machine.explained else str(machine.state)


def launch_failure(machine: Machine) -> str | None:
    """Return why EC2 ended a machine at its launch, if the next would end the same way; None otherwise."""
    if machine.there or machine.reason not in _LASTING:
        return None
    why = f"EC2 ended {machine.id} at its launch: {(machine.explained or machine.reason).rstrip('. ')}."
    if machine.reason != _KEY_REFUSED:
        return f"{why} Another would end the same way."
    return (
        f"{why} Mostly that is a disk encrypted with a key that the launch may not use: see the account's default key "
        "for EBS, and docs/how-to/ec2.md, *A key of your own for disks*."
    )
