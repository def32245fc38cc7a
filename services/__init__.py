"""What runs: the services, the music library they share, the client and the local Triton."""
