"""The cap on pages in flight: the runs of one server share its slots by a ledger of claims.

The ledger is one small record beside the server: a file on this machine, or an item of a pool's table. Each run enters
how many slots it wants, and takes its share of the free ones; every change is written only if no other run changed the
ledger meanwhile, so that the held slots never exceed those that there are. A run keeps its slots from page to page, and
sends nothing while it reads: only changes are written. No server is needed for it, and Prefect's limits, which were
measured, are not used (docs/architecture/performance.md).
"""
