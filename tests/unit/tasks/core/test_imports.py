"""Imports look for no garbage, and what they make is not looked through later."""

from __future__ import annotations

import gc

import pytest

from tasks.core.imports import importing


@pytest.fixture(autouse=True)
def thawed():
    yield
    gc.unfreeze()
    gc.enable()


def test_garbage_is_collected_again_after_imports():
    with importing():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_garbage_is_collected_again_after_an_import_that_failed():
    with pytest.raises(ModuleNotFoundError), importing():
        import tasks.nowhere  # noqa: F401
    assert gc.isenabled()


def test_who_collects_no_garbage_still_collects_none_after_imports():
    gc.disable()
    with importing():
        pass
    assert not gc.isenabled()


def test_what_was_imported_is_not_looked_through_again():
    with importing():
        made = [[]]
    assert not any(each is made for each in gc.get_objects())
