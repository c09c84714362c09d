"""One page: asked for, validated, recorded."""
