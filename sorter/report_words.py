"""Words and colours that the page, the terminal and the charts share."""

from __future__ import annotations

REASON_WORDS = {
    "healthy": "judged healthy",
    "unhealthy": "judged unhealthy",
    "unsure": "unsure: too close to the threshold",
    "conflict": "aborted for coincidence: a neighbour bound elsewhere",
    "late": "late: no time left to move the gate",
    "speck": "a speck: too small to be followed up",
    "too_small": "too small",
    "too_large": "too large",
    "not_a_spheroid": "not a spheroid",
    "double": "two or more touching bodies",
    "cut_off": "cut off by the edge of the view",
    "unseen": "too few whole views",
    "hidden": "another body travels with it, within its outline",
    "shadow": "shadow run: decided, not commanded",
    "priming": "came before the run was primed",
    "held": "was under way when the flow was held",
    "stopping": "came while the run was being ended",
    "fault": "a fault during the run",
}

TRUTH_WORDS = {
    "objects": "spheroids that passed the junction; a touching group counts as its members",
    "healthy": "healthy ones among them",
    "unhealthy": "unhealthy ones among them",
    "collected": "spheroids that entered collect",
    "purity": "healthy of what was collected",
    "yield": "healthy collected of healthy that passed",
    "unhealthy_recall": "unhealthy kept out of collect, of all unhealthy",
    "healthy_loss": "healthy single ones judged unhealthy, unsure, no spheroid, or not alone",
    "unsafe": "entered collect without a decision of their own that says so",
    "unsafe_bodies": "numbers of these bodies in the simulator",
    "doubles": "touching pairs",
    "doubles_unseen": "pairs of which one was collected with the other, unnoticed",
    "units": "single spheroids and touching groups",
    "seen_twice": "of these, with more tracks than members",
    "not_seen": "of these, without a track",
    "lost": "spheroids that never reached the junction",
}

UNVALIDATED = (
    "How well healthy and unhealthy spheroids are told apart on real HepG2 is not validated: "
    "this project has tested its classifier on simulated images only."
)

_OWN_COLOUR = ("healthy", "unhealthy", "unsure", "conflict", "late", "double")

TERMINAL_STYLE = {
    "healthy": "green",
    "unhealthy": "red",
    "unsure": "yellow",
    "conflict": "magenta",
    "late": "cyan",
    "fault": "bold red",
}


def reason_words(reason: str) -> str:
    """A reason in words; the word itself where it is not known here."""
    return REASON_WORDS.get(reason, reason.replace("_", " "))


def reason_class(reason: str) -> str:
    """The CSS class that colours a reason."""
    return f"c-{reason}" if reason in _OWN_COLOUR else "c-other"
