"""A real object storage for tests: moto's S3 server, as a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import closing
from typing import Any, Self

import botocore.session

START_LIMIT_S = 30.0
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


class ObjectServer:
    """The server, on a free port, with one bucket; it keeps everything in memory. Started on entry."""

    bucket = "copyist"

    def __init__(self) -> None:
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self._port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start, and make the bucket."""
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_LIMIT_S
        while socket.socket().connect_ex(("127.0.0.1", self._port)):
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.__exit__()
                raise RuntimeError("moto's server does not start")
            time.sleep(0.1)
        self._client().create_bucket(Bucket=self.bucket)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def url(self) -> str:
        """The bucket, as COPYIST_FILES_URL takes it."""
        return f"s3://{self.bucket}"

    @property
    def variables(self) -> dict[str, str]:
        """What tells AWS's tools to ask this server."""
        return {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._port}", **_CREDENTIALS}

    def keys(self, prefix: str = "") -> list[str]:
        """The keys of all objects that begin so."""
        pages = self._client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def _client(self) -> Any:
        session = botocore.session.get_session()
        return session.create_client(
            "s3",
            region_name=_CREDENTIALS["AWS_DEFAULT_REGION"],
            endpoint_url=self.variables["AWS_ENDPOINT_URL"],
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
