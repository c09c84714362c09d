"""Small helpers for what people read: Markdown, SVG, durations, and what a model's text may not hold."""
