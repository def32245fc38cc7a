"""The kinds of requests and the mix."""

from __future__ import annotations

import pytest

from loadtests.kinds import DEFAULT_MIX, KINDS, of_way, parse_mix


def test_shares_add_up_and_the_last_pattern_holds() -> None:
    mix = {
        kind.name: share for kind, share in parse_mix("http/*=3,*/recording/short=1,job/page/long=0").items()
    }
    assert mix == {
        "http/recording/short": pytest.approx(1 / 12),
        "http/recording/long": pytest.approx(3 / 12),
        "http/page/short": pytest.approx(3 / 12),
        "http/page/long": pytest.approx(3 / 12),
        "grpc/recording/short": pytest.approx(1 / 12),
        "job/recording/short": pytest.approx(1 / 12),
    }


def test_the_default_mix_holds_every_kind() -> None:
    mix = parse_mix(DEFAULT_MIX)
    assert set(mix) == set(KINDS)
    assert sum(sum(of_way(mix, way).values()) for way in ("http", "grpc", "job")) == pytest.approx(1)


@pytest.mark.parametrize("text", ["", "ftp/*=1", "http/*", "http/*=-1", "http/*=inf", "http/*=nan", "*=0"])
def test_a_mix_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no kind|NAME=WEIGHT|number|nothing"):
        parse_mix(text)
