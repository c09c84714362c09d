"""Machines of Hearth's on EC2: found, started, leased, watched and stopped."""
