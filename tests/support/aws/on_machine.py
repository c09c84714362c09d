"""`python -m tests.support.aws.on_machine ADDRESS PROGRAM [ARGUMENT...]`: run a program as on a machine of its own.

All machines of the harness share one kernel: /proc/net/tcp is filtered to the connections of the machine's address.
Simulated; the rest is the real program.
"""

import builtins
import io
import ipaddress
import runpy
import sys

TABLES = {"/proc/net/tcp", "/proc/net/tcp6", "/proc/self/net/tcp", "/proc/self/net/tcp6"}
_open = io.open


def _own(address: str):
    packed = bytes(reversed(ipaddress.ip_address(address).packed)).hex().upper()

    def opened(file, mode="r", *arguments, **options):
        if str(file) not in TABLES:
            return _open(file, mode, *arguments, **options)
        with _open(file) as table:
            head, *lines = table
        kept = head + "".join(line for line in lines if f" {packed}:" in line)
        return io.BytesIO(kept.encode()) if "b" in mode else io.StringIO(kept)

    return opened


if __name__ == "__main__":
    builtins.open = io.open = _own(sys.argv[1])
    sys.argv = sys.argv[2:]
    runpy.run_path(sys.argv[0], run_name="__main__")
