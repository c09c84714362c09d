"""What is stored: manifests, pages and reports."""
