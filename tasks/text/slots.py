"""The slots of a server, as people read of them."""


def slots_text(slots: int, seen: int | None = None) -> str:
    """Return the number of slots in words; `seen` are those that pages have shown while the others are not proven."""
    words = f"{slots} slot{'s' if slots != 1 else ''}"
    return words if seen is None else f"{words} asked for, {seen or 'none'} seen at work at once"
