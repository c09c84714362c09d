"""The HTTP API: clients upload documents, follow their runs, stream their pages, and receive webhooks."""
