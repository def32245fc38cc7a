"""How connections to a Triton server behave, whichever part of Copyist opens them."""

from __future__ import annotations

from typing import Final

#: Options of a gRPC channel, of `grpc` or of `grpc.aio`.
CHANNEL_OPTIONS: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Whatever the environment says of proxies: there is none before a model server.
    ("grpc.enable_http_proxy", 0),
    # Try again soon after a loss, instead of gRPC's 1 s growing to 120 s.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A connection, and its back-off, of its own for each client.
    ("grpc.use_local_subchannel_pool", 1),
    # Where a name has several addresses (`dns:///`), calls take turns; by default all would go to the first.
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
    # Names are looked up again when a connection ends; by default at most every 30 s.
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
    # Whether a server hangs, or its node is gone without a word, is found out by pings; calls to it then fail
    # within these 15 s and are tried again elsewhere, instead of waiting for their whole time.
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),  # the larger of the two counts; by default a minute
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)
