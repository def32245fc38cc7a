"""Damaged files to the real services: a short run of what `make fuzz` does at length."""

from __future__ import annotations

import asyncio

import pytest

from services.local.stack import LocalStack
from tests.fuzz.campaign import campaign
from tests.fuzz.mutants import Mutant
from tests.fuzz.seeds import FORMATS, seeds
from tests.waiting import wait_for

pytestmark = [pytest.mark.stack, pytest.mark.slow]

MUTANTS = 24


@pytest.mark.parametrize("kind", FORMATS)
async def test_damaged_files_are_read_or_refused(stack: LocalStack, kind: str) -> None:
    async with campaign(stack, seed=2026) as running:
        starts, files = running.starts(), running.left_over()
        whole = await running.send([Mutant(kind, -1, "whole", seeds(kind)[0])])
        assert [outcome.answer for outcome in whole] == ["200"]
        report = await running.attack(kind, range(MUTANTS))
        assert not [(each.mutant.number, each.mutant.how, each.fault) for each in report.faults()]
        assert len(report.outcomes) == MUTANTS
        # Some of each, or the mutants are no test.
        assert {"200", "422"} <= {outcome.answer for outcome in report.outcomes}
        assert running.starts() == starts
        # What other tests' jobs have left goes meanwhile; what came of these files goes after their answers.
        await asyncio.to_thread(wait_for, lambda: running.left_over() <= files)
