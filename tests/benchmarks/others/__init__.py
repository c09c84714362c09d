"""Other projects' code for driving a server, run in a virtual environment of its own; see requirements.txt."""
