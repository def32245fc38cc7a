"""Calls that tell a caller's own server of a job's end."""

from __future__ import annotations


def check_webhook_url(url: str) -> None:
    """Check an address before a job is taken in; it is checked again at each call. Resolves names: may block.

    Raises:
        WebhookUrlError: it is not http or https, has a port that is not allowed, or leads to an address
            that is not public.
    """
    raise NotImplementedError
