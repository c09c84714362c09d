"""The text that a PDF already has: whether it may stand for a page, and as what it is stored."""
