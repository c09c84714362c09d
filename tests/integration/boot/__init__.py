"""The machine boots for real: in a container with systemd, cloud-init and nginx of its own."""
