"""The dashboard and the alarms: CloudWatch's as a stack, Grafana's as a file."""
