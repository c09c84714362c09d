"""The fleet over days, simulated: the product's own decisions about machines and slots, on a clock that jumps. Pure."""
