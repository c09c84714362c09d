"""The files of a pool's machine, sent as user data: its watchdog, its boot script, its units."""
