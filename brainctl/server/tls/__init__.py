"""TLS of the server: certificates that are read again, cipher suites, who may connect."""
