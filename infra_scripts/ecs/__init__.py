"""What an ECS task is made of: the image, and the program that runs in it."""
