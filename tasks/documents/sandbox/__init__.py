"""What runs in the sandboxed process alone: nothing else of the project lets a library parse a stranger's PDF."""
