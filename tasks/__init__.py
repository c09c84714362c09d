"""One step each: the mechanics that the flows put in order. Nothing here knows of a flow."""
