"""Writes a `Piece` as MEI for Verovio to engrave.

Events are numbered in the order in which they are written; the sounding accidental (`accid.ges`) is given
wherever no sign is printed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from xml.sax.saxutils import escape

from pipelines.engraving.mei import Clef, Event, Head, Item, Layer, Mark, Measure, Piece, Tuplet, flat

STEP_NAMES = "cdefgab"
SIGNS = {-2: "ff", -1: "f", 0: "n", 1: "s", 2: "x"}
SOUNDING = {-2: "ff", -1: "f", 0: "n", 1: "s", 2: "ss"}


#: One window for a whole tuplet: longer than any.
_UNDIVIDED = (Fraction(100),)


def write_mei(piece: Piece) -> str:
    """The piece as an MEI document; its title and composer, if any, head the first page."""
    names = _Names()
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<mei xmlns="http://www.music-encoding.org/ns/mei" meiversion="5.0">{_header(piece)}'
        f"<music><body><mdiv><score><scoreDef {piece.opening}>{_staff_group(piece)}</scoreDef><section>"
    ]
    ending = 0
    for number, measure in enumerate(piece.measures, 1):
        if measure.ending != ending:
            parts.append("</ending>" if ending else "")
            parts.append(f'<ending n="{measure.ending}">' if measure.ending else "")
            ending = measure.ending
        if measure.change:
            parts.append(f"<scoreDef {measure.change}/>")
        parts.append(_measure(measure, number, names))
    parts.append("</ending>" if ending else "")
    parts.append("</section></score></mdiv></body></music></mei>")
    return "".join(parts)


def _header(piece: Piece) -> str:
    composer = f'<respStmt><persName role="composer">{escape(piece.composer)}</persName></respStmt>'
    return (
        f"<meiHead><fileDesc><titleStmt><title>{escape(piece.title)}</title>"
        f"{composer if piece.composer else ''}</titleStmt><pubStmt/></fileDesc></meiHead>"
    )


class _Names(dict[int, str]):
    """Names events in the order in which they are first asked for."""

    def of(self, event: Event) -> str:
        return self.setdefault(id(event), f"e{len(self) + 1}")


def _staff_group(piece: Piece) -> str:
    definitions = [
        f'<staffDef n="{number}" lines="5" {clef.attributes("clef.")}/>'
        for number, clef in enumerate(piece.clefs, 1)
    ]
    for first, last in reversed(piece.groups):
        inner = "".join(definitions[first - 1 : last])
        definitions[first - 1 : last] = [f'<staffGrp symbol="brace" bar.thru="true">{inner}</staffGrp>']
    return f"<staffGrp>{''.join(definitions)}</staffGrp>"


def _measure(measure: Measure, number: int, names: _Names) -> str:
    left = f' left="{measure.left}"' if measure.left else ""
    right = f' right="{measure.right}"' if measure.right else ""
    staves = "".join(
        f'<staff n="{staff}">{"".join(_layer(layer, n, names) for n, layer in enumerate(layers, 1))}</staff>'
        for staff, layers in enumerate(measure.staves, 1)
    )
    marks = "".join(_mark(mark, names) for mark in measure.marks)
    return f'<measure n="{number}"{left}{right}>{staves}{marks}</measure>'


def _mark(mark: Mark, names: _Names) -> str:
    end = f' endid="#{names.of(mark.end)}"' if mark.end is not None else ""
    return (
        f'<{mark.tag} staff="{mark.staff}" startid="#{names.of(mark.start)}"{end} {mark.attributes}>'
        f"{escape(mark.text)}</{mark.tag}>"
    )


def _layer(layer: Layer, number: int, names: _Names) -> str:
    if not layer.items:
        return f'<layer n="{number}"><mRest/></layer>'
    inner = "".join(
        f"<beam>{_items(run, names)}</beam>" if beamed else _items(run, names, layer.windows)
        for run, beamed in _beam_runs(layer.items, layer.windows)
    )
    return f'<layer n="{number}">{inner}</layer>'


def _items(items: Sequence[Item], names: _Names, windows: Sequence[Fraction] = ()) -> str:
    return "".join(
        _tuplet(item, names, windows)
        if isinstance(item, Tuplet)
        else _event(item, names)
        if isinstance(item, Event)
        else f"<clef {item.attributes()}/>"
        for item in items
    )


def _tuplet(tuplet: Tuplet, names: _Names, windows: Sequence[Fraction]) -> str:
    """A tuplet; its own beams are inside of it where windows are given (else it is inside of one)."""
    inner = "".join(
        f"<beam>{_items(run, names)}</beam>" if beamed else _items(run, names)
        for run, beamed in _beam_runs(tuplet.events, _UNDIVIDED if windows else ())
    )
    shown = str(tuplet.marked).lower()
    bracket = str(tuplet.marked and tuplet.bracket).lower()
    return (
        f'<tuplet num="{tuplet.actual}" numbase="{tuplet.normal}" num.visible="{shown}" '
        f'bracket.visible="{bracket}">{inner}</tuplet>'
    )


def _beam_runs(items: Sequence[Item], windows: Sequence[Fraction]) -> Iterator[tuple[Sequence[Item], bool]]:
    """Runs of items, and whether each is under one beam: at least two flagged notes in one window."""
    run: list[Item] = []
    run_window = -1
    time = Fraction(0)
    for item in items:
        window = _window_at(time, windows)
        time += item.duration
        beamable = window >= 0 and _all_beamable(item)
        if run and (not beamable or window != run_window):
            yield _closed(run)
            run = []
        if beamable:
            run.append(item)
            run_window = window
        else:
            yield [item], False
    if run:
        yield _closed(run)


def _closed(run: list[Item]) -> tuple[Sequence[Item], bool]:
    return run, sum(1 for _ in flat(run)) > 1


def _all_beamable(item: Item) -> bool:
    return not isinstance(item, Clef) and all(event.can_be_beamed for event in flat([item]))


def _window_at(time: Fraction, windows: Sequence[Fraction]) -> int:
    for index, length in enumerate(windows):
        if time < length:
            return index
        time -= length
    return -1


def _event(event: Event, names: _Names) -> str:
    kind = "unacc" if event.slashed else "acc"
    graces = "".join(_plain_event(grace, names, f' grace="{kind}"') for grace in event.graces)
    if len(event.graces) > 1:
        graces = f"<beam>{graces}</beam>"
    return graces + _plain_event(event, names)


def _plain_event(event: Event, names: _Names, more: str = "") -> str:
    name, staff = names.of(event), f' staff="{event.staff}"' if event.staff else ""
    dots = f' dots="{event.dots}"' if event.dots else ""
    common = f'xml:id="{name}" dur="{event.value}"{dots}{staff}{more}'
    if not event.heads:
        return f"<{'space' if event.space else 'rest'} {common}/>"
    if event.articulations:
        common += f' artic="{" ".join(event.articulations)}"'
    if event.breaks_beam:
        common += ' breaksec="1"'
    if len(event.heads) == 1:
        return _head(event.heads[0], common)
    heads = sorted(event.heads, key=lambda head: head.diatonic)
    inner = "".join(_head(head, f'xml:id="{name}h{n}"') for n, head in enumerate(heads, 1))
    return f"<chord {common}>{inner}</chord>"


def _head(head: Head, common: str) -> str:
    octave, step = divmod(head.diatonic, 7)
    tie = f' tie="{head.tie}"' if head.tie else ""
    start = f'<note {common} pname="{STEP_NAMES[step]}" oct="{octave}"{tie}'
    if head.sign:
        enclose = ' enclose="paren"' if head.courtesy else ""
        return f'{start}><accid accid="{SIGNS[head.alter]}"{enclose}/></note>'
    return f'{start} accid.ges="{SOUNDING[head.alter]}"/>' if head.alter else f"{start}/>"
