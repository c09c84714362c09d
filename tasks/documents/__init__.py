"""PDFs and pictures: opened and rendered in a sandboxed process, with their facts and flags."""
