"""What reading would cost: the architectures compared, the size of a machine, and a recommendation."""
