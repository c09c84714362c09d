"""The HTTP API: clients upload PDFs, follow their runs, stream their pages, and receive webhooks."""
