"""Pages while versions of the models are on trial, or in the shadow."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from prometheus_client import REGISTRY

from services.errors import CopyistError, ModelError, VersionMissingError
from services.omr import notation
from services.omr.models import ContextModel, SymbolsModel
from services.omr.options import Options
from services.omr.reader import Reader, Reading
from services.omr.uploads import PageLimits
from services.runtime.processes import Processes
from services.runtime.release.manifest import Role
from tests.omr.seeing import SeeingServer
from tests.runtime.release.small_models import releases

CARDS: dict[str, dict[str, Any]] = {"symbols": {"measures": {}}, "context": {"measures": {}}}
PAGES = 3


@asynccontextmanager
async def reading(server: SeeingServer, folder: Path, role: Role) -> AsyncIterator[Reader]:
    released = releases(folder, CARDS, role)
    processes = Processes(1, warm_up=notation.warm_up, max_s=120)
    shipped = folder / "shipped"
    made = Reader(
        SymbolsModel(server, shipped, tiles_in_flight=3, releases=released),
        ContextModel(server, shipped, releases=released),
        processes,
        limits=PageLimits(max_pages=4, max_page_pixels=10_000_000),
        max_recognitions=2,
        pages_in_flight=2,
    )
    yield made
    await made.close()
    processes.close()
    released.close()


async def read(reader: Reader, **more: str) -> Reading:
    page = np.full((300, 400), 255, np.uint8)
    for line in range(5):
        page[100 + 12 * line : 102 + 12 * line, 30:370] = 0
    pages = [cv2.imencode(".png", page)[1].tobytes() for _ in range(PAGES)]
    return await reader.read([io.BytesIO(each) for each in pages], Options(), request_id="r", **more)


def versions(found: Reading) -> tuple[str, str | None]:
    return found.version, found.context_version


async def test_both_models_are_chosen_by_the_request_and_one_may_be_insisted_on(tmp_path: Path) -> None:
    server = SeeingServer("1", "2")
    async with reading(server, tmp_path, Role.CANARY) as reader:
        assert versions(await read(reader)) == ("2", "2")
        assert {(model, version) for model, version, _ in server.asked} == {("symbols", "2")}
        assert versions(await read(reader, version="1")) == ("1", "2")


@pytest.mark.parametrize("failure", [VersionMissingError("unloaded"), ModelError("shapes")])
async def test_where_a_canary_fails_all_pages_are_read_without_it(
    tmp_path: Path, failure: CopyistError
) -> None:
    server = SeeingServer("1", "2")
    server.fail(failure, model="symbols", version="2")
    async with reading(server, tmp_path, Role.CANARY) as reader:
        found = await read(reader)
        assert versions(found) == ("1", "2"), "the other model stays"
        assert len(found.recognition.pages) == PAGES
        assert server.asked[-PAGES:] == [("symbols", "1", Role.STABLE)] * PAGES
        with pytest.raises(type(failure)):
            await read(reader, version="2")


async def test_a_shadow_sees_the_pages_that_were_answered(tmp_path: Path) -> None:
    server = SeeingServer("1", "2")
    before = {model: agreement(model) for model in CARDS}
    async with reading(server, tmp_path, Role.SHADOW) as reader:
        assert versions(await read(reader)) == ("1", "1")
        async with asyncio.timeout(120):
            while any(agreement(model)[0] < before[model][0] + PAGES for model in CARDS):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert server.asked.count(("symbols", "2", Role.SHADOW)) == PAGES
    for model in CARDS:
        assert agreement(model)[1] - before[model][1] == PAGES, "nothing and nothing agree"


def agreement(model: str) -> tuple[float, float]:
    labels = {"model": model, "version": "2"}
    return (
        REGISTRY.get_sample_value("copyist_shadow_agreement_count", labels) or 0.0,
        REGISTRY.get_sample_value("copyist_shadow_agreement_sum", labels) or 0.0,
    )
