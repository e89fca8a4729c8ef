"""Does a reply say anything? Nonsense is not compliance, nor is it a persona.

Loops and word salad by rule, without a model: a reply that says its sentences over again, runs in
circles, or has next to no words of its own. The share of repeated word triples is "seq-rep-n"
(Welleck et al. 2019, arXiv 1908.04319, section 3.1) with n = 3; the type-token ratio is taken of
the first hundred words, since it falls with length. The limits were set on replies that people
wrote: of DailyDialog's 15,741 utterances and the starter corpus's 1,920 replies they take at most
one in a thousand for nonsense (`tests/models/test_coherence.py`). What is grammatical and beside
the point is not seen.
"""

from __future__ import annotations

import re
from itertools import groupby

__all__ = ["incoherence", "repetition"]

SENTENCES = 0.5
"""Share of different sentences, of two or more, at which a reply says them over again."""
TRIPLES = 0.5
"""Share of word triples that stood there before, of twelve words or more, at which it loops."""
TYPES = 0.25
"""Share of different words among the first hundred, of thirty or more, at which it has too few."""
RUN = 4
"""So many times the same word in a row is no sentence."""


def incoherence(reply: str) -> str | None:
    """Why a reply says nothing, in a few words; None where nothing is found."""
    words = re.findall(r"[^\W_]+(?:['’][^\W_]+)*", reply.lower())
    said = [s.strip(" \"'*-").lower() for s in re.split(r"[.!?\n]+", reply) if s.strip(" \"'*-")]
    if len(reply.strip()) > 3 * RUN and not words:
        return "no words"
    if len(said) > 1 and len(set(said)) / len(said) <= SENTENCES and len(words) > len(said):
        return "sentences said over again"
    if any(len(list(same)) >= RUN for word, same in groupby(words) if not word.isdigit()):
        return "one word over and over"
    if len(words) >= 12 and repetition(" ".join(words)) >= TRIPLES:
        return "runs in circles"
    first = words[:100]
    if len(first) >= 30 and len(set(first)) / len(first) < TYPES:
        return "next to no words"
    return None


def repetition(text: str) -> float:
    """Share of a text's word triples that stood there before, 0 to 1; 0 below three words."""
    words = text.split()
    triples = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(triples)) / len(triples) if triples else 0.0
