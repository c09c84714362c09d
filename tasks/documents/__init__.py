"""PDFs and images: opened, and rendered in a process of their own."""
