"""Inputs that are made up."""

from hypothesis import strategies as st

texts = st.text(st.characters(exclude_categories=("Cs",)))
