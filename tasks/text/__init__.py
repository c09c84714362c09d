"""Small helpers for what people read: Markdown, SVG, what a model's text may not hold, and its language."""
