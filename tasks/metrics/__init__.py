"""Numbers of runs while they go: counted in little memory, sent to CloudWatch, Prometheus or OpenTelemetry, shown live.

    events -> PageMetrics -> Aggregate -> Snapshot -> Sink (CloudWatch; the machine's totals -> textfile, OTLP)
                                       -> LiveRun, a small file that `hearth top` reads

No page waits for any of it, and none fails because of it: all that writes or sends runs in a thread of its own.
"""
