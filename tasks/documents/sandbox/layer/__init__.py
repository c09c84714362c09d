"""A page's text layer: its lines, their order, and the Markdown that they make."""
