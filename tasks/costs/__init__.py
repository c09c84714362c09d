"""What reading will take, and took, in time and money. Pure, but for `history`, `held` and `request`."""
