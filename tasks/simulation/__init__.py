"""Fleets simulated over days, with the product's own policies for machines and slots. Pure."""
