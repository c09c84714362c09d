"""What a machine of the pool carries: its watchdog, its boot script, its units. Sent to it as user data."""
