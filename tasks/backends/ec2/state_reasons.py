"""Why EC2 says that a machine is in its state (docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html)."""

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
"""In words, by EC2's code."""


def told_state(machine: Machine) -> str:
    """Its state, and why it is in it as far as EC2 says."""
    return f"{machine.state} ({machine.explained.rstrip('. ')})" if machine.explained else str(machine.state)


def stillborn(machine: Machine) -> str | None:
    """Why EC2 ended a machine at its launch, if the next one would meet the same; None otherwise."""
    if machine.there or machine.reason not in _LASTING:
        return None
    told = f"EC2 ended {machine.id} at its launch: {(machine.explained or machine.reason).rstrip('. ')}."
    if machine.reason != _KEY_REFUSED:
        return f"{told} Another would end the same way."
    return (
        f"{told} Mostly that is a disk encrypted with a key that the launch may not use: see the account's default key "
        "for EBS, and docs/how-to/ec2.md, *A key of your own for disks*."
    )
