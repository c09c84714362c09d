"""Small helpers for what people read: Markdown, SVG, and what a model's text may not hold."""
