"""Metrics of runs: counted in little memory, sent to CloudWatch, Prometheus or OpenTelemetry, and shown live.

    events -> PageMetrics -> Aggregate -> Snapshot -> Sink (CloudWatch; the machine's totals, text file, OTLP)
                                       -> LiveRun, a small file that `hearth top` reads

They delay no page and fail none: everything that writes or sends them runs in a thread of its own.
"""
