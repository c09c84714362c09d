"""The ECS service: its stack, the image of its tasks, and the program that runs in them."""
