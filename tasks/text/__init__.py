"""Small helpers for what people read: Markdown, SVG and durations."""
