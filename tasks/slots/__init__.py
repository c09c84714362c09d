"""The cap on pages in flight, whoever asks: the runs of one server share its slots by a ledger of claims.

The ledger is one small record beside the server: a file on this machine, an item of the pool's table for a machine of
EC2. Each run enters what it wants, and takes what is its share and free; every change is made on condition that nobody
else made one meanwhile, so that the slots held never add up to more than there are. A run holds its slots from page to
page, and asks nobody while it reads: only what changes hands is written. Nothing here waits for a server of its own,
and Prefect's is not asked at all (its limits, measured: docs/architecture/performance.md).
"""
