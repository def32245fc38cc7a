"""What Copyist's dashboards show."""

from __future__ import annotations

from typing import Final

from monitoring.boards.drift import DRIFT
from monitoring.boards.releases import RELEASES
from monitoring.boards.requests import ANATOMY, OVERVIEW
from monitoring.boards.work import JOBS, TRITON

DASHBOARDS: Final = (OVERVIEW, ANATOMY, TRITON, JOBS, DRIFT, RELEASES)
