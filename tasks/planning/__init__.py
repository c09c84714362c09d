"""What reading would cost: architectures, sizes and a verdict."""
