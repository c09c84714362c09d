"""The wheel, installed by itself."""
