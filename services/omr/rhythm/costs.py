"""What each departure from a plain reading of a measure costs: one place for every weight of the search."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RhythmCosts:
    """Costs in nats (negative log-likelihoods), and the shapes of the soft evidence.

    Attributes:
        value_error: probability that the value read is mistaken, however sure the reader.
        flags_error: the same between notes that differ by one flag or beam.
        value_neighbour: share of such mistakes that go to each neighbouring value.
        dot_added, dot_lost, second_dot: likewise that there is none, one, two dots whatever was read: scans
            lose dots, but seldom add them.
        tuplet_error: likewise for tuplets: most editions leave them unmarked after the first few.
        flagless_beam: a quarter note or longer under a beam.
        tuplet_start: a tuplet begins (beside the evidence for or against it).
        tuplet_again: a further tuplet where the voice, or another voice just then, has the like.
        tuplet_familiar: a tuplet begins in a measure whose neighbours have the like.
        tuplet_broken: a tuplet is left, or changes, before its group is whole.
        tuplet_uneven: a tuplet's event has another value than the one before it.
        tuplet_lone: an unmarked tuplet of one event, which a dot makes whole.
        beam_mixed: a tuplet begins or ends in the middle of a beam.
        figure_denied: a printed figure is not a tuplet's (a fingering, say), over its whole group.
        figure_absent: a tuplet other than a triplet begins without its figure.
        silence: time on a staff that nothing fills.
        voice_stops: a voice stops while another goes on in the same staff.
        voice_starts: a voice starts in mid-measure beside another in the same staff.
        voice_starts_first: the same at the measure's start.
        stem_shared: both of two voices have stems in the same direction.
        stem_turns: a voice's stem changes direction while another voice sounds in the same staff.
        whole_rest: a whole rest stands for the whole measure although its staff has more.
        off_grid: an onset that is no multiple of half of the event's value.
        beam_ends_off: a beam's last event ends off the eighths.
        drop: an event is taken as not there that is as likely there as not; beside the odds that it is there.
        short: the measure is shorter than its metre, all voices alike.
        short_edge: the same for the first and the last measure of a piece.
        short_split: the same where two measures in a row make one together.
        long: the measure is longer than its metre.
        metre_misread: another length than a printed time signature asks for holds while it is in force.
        together_px, together_width_px: events on different staves this far apart are as likely together as
            not, and the width of that logistic.
        displaced: two events of one staff with unlike stems stand side by side in one column.
        displaced_alike: the same where their stems are alike.
        overlapping: the same where they are nearer to one another than heads can be.
        aligned_px, beside_px, displaced_px: events of one column and staff are aligned if no farther apart
            than the first; overlap up to the second; stand side by side up to the third.
        chord_split: two events are one chord.
        cross_staff: a voice goes on in the next staff.
        cross_beam: the same where its beam does.
        spacing_exponent: distances grow with this power of time.
        spacing_sigma: spread of the logarithm of distances about that.
        spacing_most: most that one distance can cost.
    """

    value_error: float = 0.006
    flags_error: float = 0.02
    value_neighbour: float = 0.4
    dot_added: float = 0.005
    dot_lost: float = 0.04
    second_dot: float = 0.001
    tuplet_error: float = 0.04
    flagless_beam: float = 4.0
    tuplet_start: float = 0.5
    tuplet_again: float = 0.3
    tuplet_familiar: float = 1.0
    tuplet_broken: float = 6.0
    tuplet_uneven: float = 1.5
    tuplet_lone: float = 5.0
    beam_mixed: float = 2.5
    figure_denied: float = 3.0
    figure_absent: float = 3.0
    silence: float = 5.0
    voice_stops: float = 2.0
    voice_starts: float = 2.5
    voice_starts_first: float = 0.3
    stem_shared: float = 2.5
    stem_turns: float = 2.0
    whole_rest: float = 0.5
    off_grid: float = 0.7
    beam_ends_off: float = 0.7
    drop: float = 2.0
    short: float = 6.0
    short_edge: float = 2.0
    short_split: float = 3.0
    long: float = 7.0
    metre_misread: float = 8.0
    together_px: float = 8.5
    together_width_px: float = 1.0
    displaced: float = 1.0
    displaced_alike: float = 4.0
    overlapping: float = 5.0
    aligned_px: float = 4.5
    beside_px: float = 9.5
    displaced_px: float = 18.0
    chord_split: float = 1.0
    cross_staff: float = 3.5
    cross_beam: float = 1.0
    spacing_exponent: float = 0.5
    spacing_sigma: float = 0.3
    spacing_most: float = 2.0


DEFAULT_COSTS = RhythmCosts()
