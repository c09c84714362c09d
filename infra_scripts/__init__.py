"""Descriptions of machines. Nothing here imports the flows or the tasks."""
