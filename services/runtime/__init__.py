"""What every service stands on: settings, errors, the Triton client, gRPC, metrics."""
