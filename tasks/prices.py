"""What machines cost: a small price book, and where its figures are from."""

from __future__ import annotations

# USD per hour on demand, Linux, us-east-1 (https://aws.amazon.com/ec2/pricing/on-demand, November 2026).
_ON_DEMAND_USD_PER_HOUR = {
    "g4dn.xlarge": 0.526,
    "g4dn.2xlarge": 0.752,
    "g4dn.4xlarge": 1.204,
    "g5.xlarge": 1.006,
    "g5.2xlarge": 1.212,
    "g6.xlarge": 0.8048,
    "g6.2xlarge": 0.9776,
    "c5.2xlarge": 0.34,
    "c5.4xlarge": 0.68,
}
# gp3 in us-east-1 (https://aws.amazon.com/ebs/pricing): the first 125 MB/s and 3,000 IOPS are part of the size, and
# each MB/s needs four IOPS (https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html).
_GP3_USD_PER_GB_MONTH = 0.08
_GP3_USD_PER_MB_S_MONTH = 0.04
_GP3_FREE_MB_S = 125
_GP3_USD_PER_IOPS_MONTH = 0.005
_GP3_FREE_IOPS = 3_000
_GP3_IOPS_PER_MB_S = 4
HOURS_A_MONTH = 730


def on_demand_usd_per_hour(instance_type: str) -> float | None:
    """USD per hour on demand in us-east-1; other regions differ. None if the price book lacks the type."""
    return _ON_DEMAND_USD_PER_HOUR.get(instance_type)


def gp3_usd_per_hour(size_gb: int, throughput_mb_s: int) -> float:
    """USD per hour of a gp3 disk in us-east-1. It is paid for while its machine is stopped, too."""
    throughput = max(0, throughput_mb_s - _GP3_FREE_MB_S)
    iops = max(0, throughput_mb_s * _GP3_IOPS_PER_MB_S - _GP3_FREE_IOPS)
    usd_per_month = (
        size_gb * _GP3_USD_PER_GB_MONTH + throughput * _GP3_USD_PER_MB_S_MONTH + iops * _GP3_USD_PER_IOPS_MONTH
    )
    return usd_per_month / HOURS_A_MONTH
