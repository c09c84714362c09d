"""What tests are made of: processes, servers and waiting, each in one place."""
