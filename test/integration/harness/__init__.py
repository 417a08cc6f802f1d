"""What the integration tests are written in: the daemon, its clients, its processes."""
