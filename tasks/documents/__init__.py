"""PDFs: opened and rendered in a process of their own, and what is to be known of them."""
