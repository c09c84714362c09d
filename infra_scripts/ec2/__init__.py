"""The pool of EC2 machines: its stack, its baked image, and the user data of its machines."""
