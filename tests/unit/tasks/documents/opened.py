"""The limits of documents."""

from __future__ import annotations

from tasks.settings.reading import LimitSettings

LIMITS = LimitSettings()
