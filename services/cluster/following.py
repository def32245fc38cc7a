"""Following an object: its state now, and every later one, over broken and expired watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from kubernetes.client import ApiException
from kubernetes.watch import Watch
from urllib3.exceptions import HTTPError

from services.cluster.connection import TIMES_S, Cluster

#: The API ends a watch after so many seconds; it is then taken up where it ended.
WATCH_S: Final = 30
#: Seconds that the end of a watch may be late before the connection counts as dead.
_LATE_S: Final = 10.0
#: Watches that end at once follow one another no faster than this, in seconds.
_APART_S: Final = 0.5


def follow(
    cluster: Cluster, lists: Callable[..., Any], name: str, *, watch_s: int = WATCH_S
) -> Iterator[Any | None]:
    """Yield the object of this name as it is now and after each change; None while there is none.

    It is also yielded again, unchanged, after each watch of `watch_s` seconds, so that a caller can look at
    the clock. Never ends by itself.

    Args:
        cluster: where the object is.
        lists: the client's method that lists objects of its kind in a namespace.
        name: of the object.
        watch_s: seconds, at least 1.

    Raises:
        ClusterUnavailableError, ClusterForbiddenError, ClusterRefusedError: as `Cluster.ask`.
    """
    only = {"namespace": cluster.namespace, "field_selector": f"metadata.name={name}"}
    while True:
        listing = cluster.ask(f"list {name}", partial(lists, **only, _request_timeout=TIMES_S))
        found, version = _first(listing)
        while version is not None:
            yield found
            begun = time.monotonic()
            watch = Watch()  # type: ignore[no-untyped-call]
            events = watch.stream(  # type: ignore[no-untyped-call]
                lists,
                **only,
                resource_version=version,
                timeout_seconds=watch_s,
                allow_watch_bookmarks=True,
                _request_timeout=(TIMES_S[0], watch_s + _LATE_S),
            )
            found, unbroken = yield from _states(cluster, events, found)
            version = watch.resource_version if unbroken else None
            time.sleep(max(0.0, begun + _APART_S - time.monotonic()))


def _first(listing: Any) -> tuple[Any | None, str | None]:
    """The first object of a listing, and the listing's version; both come as objects or as plain JSON."""
    if isinstance(listing, dict):
        items, version = listing["items"], listing["metadata"]["resourceVersion"]
    else:
        items, version = listing.items, listing.metadata.resource_version
    return (items[0] if items else None), version


def _states(
    cluster: Cluster, events: Iterator[Any], last: Any | None
) -> Generator[Any | None, None, tuple[Any | None, bool]]:
    """Yield the states that one watch brings.

    Returns:
        The last state, and whether another watch may go on from there; else it has to be listed anew.
    """
    try:
        for event in events:
            if event is not None and event["type"] != "BOOKMARK":
                last = None if event["type"] == "DELETED" else event["object"]
                yield last
    except HTTPError:
        return last, False  # if the API is away for longer, listing will tell
    except ApiException as error:
        if error.status == HTTPStatus.FORBIDDEN:  # of watching alone: listing will not tell
            cluster.ask("watch", partial(_raise, error))
        return last, False  # most often 410: the version is too old by now
    return last, True


def _raise(error: ApiException) -> None:
    raise error
