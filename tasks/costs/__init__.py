"""What reading will take in time and money, before anything is started. Pure, but for `history`, `held` and `request`."""
