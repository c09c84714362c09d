"""The pool of EC2 machines: its stack, its baked image, and what a machine is told when it is launched."""
