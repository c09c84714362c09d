"""The HTTP API: PDFs are uploaded, their runs followed, their pages streamed, and whoever asked called back."""
