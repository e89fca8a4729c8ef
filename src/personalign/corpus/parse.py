"""From a model's text to a dialogue, or to the reason why it is none.

What is repaired is named; what would have to be guessed is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from personalign.records import Message, Record

__all__ = ["Parsed", "Reason", "Refused", "bare_reply", "is_refusal", "parse"]

Reason = Literal[
    "empty",
    "refusal",
    "no_dialogue",
    "broken_json",
    "missing_speaker",
    "unknown_speaker",
    "persona_first",
    "same_speaker_twice",
    "swapped_speakers",
    "empty_turn",
    "placeholder",
    "out_of_character",
    "too_short",
    "too_long",
]

USER_NAMES = ("user", "human", "person", "you", "friend", "interlocutor", "사용자")
PERSONA_NAMES = ("assistant", "persona", "character", "ai", "companion", "model", "페르소나")
SPEAKER_KEYS = ("role", "speaker", "from", "name", "author", "sender")
TEXT_KEYS = ("content", "text", "value", "message", "utterance", "line", "says")
LIST_KEYS = ("turns", "dialogue", "dialog", "messages", "conversation", "exchange")

TORN = re.compile(r"^[\s,\[]*\{\s*(?:[\"']|$)")
FENCE = re.compile(r"```[a-zA-Z]*\n(.*?)(?:```|\Z)", re.DOTALL)
THINKING = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
LEAD = r"[\s>\-•*_#\"'“‘`{(\[]*(?:(?:turn\s*)?\d{1,3}\s*[.):\]/-]\s*)?[\s*_\"'“‘`{(\[]*"
JSON_LEAD = r"[\s{\"',]*(?:role|speaker|from|name)[\"']\s*:\s*[\"']"
ASIDE = r"(?:\s*[(\[*][^)\]*:\n]{1,60}[)\]*])?"
LABEL = re.compile(
    rf"^(?:{JSON_LEAD}|{LEAD})(?P<name>[^\W\d_][\w .'’-]{{0,40}}?){ASIDE}"
    rf"[\s*_\"'”’`)\]]*[:：]\s*(?:\*\*|__)?\s*(?P<rest>.*)$"
)
JSON_LABEL = re.compile(
    r"^[\s,\[]*\{?\s*[\"'](?:role|speaker|from|name)[\"']\s*:\s*[\"'](?P<name>[^\"']+)[\"']\s*"
    r"(?:,\s*[\"'](?:content|text|value|message|utterance)[\"']\s*)?:\s*(?P<rest>.*)$"
)
OPENERS = re.compile(
    r"^(here(?:'s|’s| is| are)|sure|certainly|of course|okay|ok\b|absolutely|title|scene|setting|"
    r"situation|context|dialogue|conversation|below|the following|feature|trait|location|time)\b"
    r"|^[*#_=\-]+[^a-z]*|:\s*$",
    re.IGNORECASE,
)
CLOSERS = re.compile(
    r"^\W*(note\b|notes\b|end\b|the end\b|end of (?:the )?(?:dialogue|conversation|scene)|"
    r"(?:this|the above|in this|the) (?:dialogue|conversation|exchange|scene)\b|"
    r"i hope (?:this|that|it)\b|let me know\b|feel free to\b|would you like me to\b|"
    r"(?:explanation|analysis|commentary|summary)\b|as requested\b|fin\b|---)",
    re.IGNORECASE,
)
REFUSAL = re.compile(
    r"^\W*(?:i(?:'|’)?m (?:really |very )?sorry,? (?:but )?(?:i )?(?:can|am not|'m not)|"
    r"(?:sorry,? )?(?:but )?i (?:can(?:no|'|’)t|won(?:'|’)t|am unable to|am not able to|"
    r"must decline)|i(?:'|’)?m (?:not able|unable) to|unfortunately,? i (?:can|am)|"
    r"as an ai\b|죄송)",
    re.IGNORECASE,
)
OUT = re.compile(
    r"\bas an? (?:ai|artificial intelligence|(?:large )?language model)\b|"
    r"\bi(?:'|’)?m (?:just )?an ai\b",
    re.IGNORECASE,
)
PLACEHOLDER = re.compile(
    r"\[(?:insert|your|name|user(?:'s)? name|topic|add|fill)[^\]]*\]|"
    r"\{\{[^}]*\}\}|<(?:name|insert)>",
    re.IGNORECASE,
)
BRACKETED = re.compile(r"\s*\[[^\[\]\n]{1,80}\]\s*")
STARRED = re.compile(r"(?:^|(?<=[.!?…\s]))\*+(?P<inner>[^*\n]{1,80})\*+(?=$|[\s.,!?…])")
EDGE_ASIDE = re.compile(r"^\s*\((?P<inner>[^()\n]{1,80})\)\s*|\s*\((?P<last>[^()\n]{1,80})\)\s*$")
ACTION = re.compile(r"^(?:\w+ly )?(?!this\b|is\b|was\b|yes\b|always\b|his\b|us\b)[a-z]+(?:s|ing)\b")
ENDS = re.compile(r"[.!?…。！？~)\]\"'”’:*]$|[\U0001F300-\U0001FAFF\u2600-\u27BF]\ufe0f?$")


class Parsed(Record):
    """A dialogue that alternates, begins with the user and ends with the persona."""

    turns: tuple[Message, ...]
    repairs: tuple[str, ...] = ()


class Refused(Record):
    """Why a text is no dialogue that can be used."""

    reason: Reason
    detail: str = ""


class _RefuseError(Exception):
    def __init__(self, reason: Reason, detail: str = "") -> None:
        self.refused = Refused(reason=reason, detail=detail[:120])
        super().__init__(reason)


@dataclass
class _Draft:
    """Turns so far as (speaker, text), and what was mended."""

    turns: list[tuple[str, str]] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)
    cut: bool = False

    def mended(self, what: str) -> None:
        if what not in self.repairs:
            self.repairs.append(what)


def is_refusal(text: str) -> bool:
    """Does a text begin as a refusal to answer?"""
    return bool(REFUSAL.match(text))


def bare_reply(text: str, names: Sequence[str] = ()) -> str:
    """One reply without thoughts, a speaker's name, quotes and stage directions."""
    said = THINKING.sub("", text).strip()
    known = {n.casefold() for n in (*PERSONA_NAMES, *names)}
    found = LABEL.match(said.split("\n", 1)[0])
    if found and found["name"].strip().casefold() in known:
        said = said[found.start("rest") :]
    return _cleaned(said, _Draft())


def parse(
    text: str,
    persona: Sequence[str] = (),
    replies: tuple[int, int] = (2, 12),
    truncated: bool = False,
) -> Parsed | Refused:
    """A dialogue from a model's text.

    Args:
        text: What the model wrote.
        persona: Names under which the persona may speak, besides the common ones.
        replies: Fewest and most replies of the persona.
        truncated: The model was cut off, so that the last turn is not whole.
    """
    names = {n.casefold(): "user" for n in USER_NAMES}
    names |= {n.casefold(): "persona" for n in (*PERSONA_NAMES, *persona)}
    try:
        draft = _read(THINKING.sub("", text).strip("\ufeff \t\r\n"), names)
        draft.cut = draft.cut or truncated
        return _checked(draft, persona, replies)
    except _RefuseError as e:
        return e.refused


def _read(text: str, names: dict[str, str]) -> _Draft:
    if not text:
        raise _RefuseError("empty")
    draft = _Draft()
    inner = _unfenced(text, draft)
    data = _json(inner)
    if data is None:
        _from_lines(inner, names, draft)
    else:
        _from_json(data, names, draft)
    if not draft.turns:
        raise _RefuseError("refusal" if is_refusal(text) else "no_dialogue", text)
    return draft


def _unfenced(text: str, draft: _Draft) -> str:
    found = FENCE.findall(text)
    if len(found) != 1 or ":" not in found[0]:
        return text
    draft.mended("took_fenced_block")
    return str(found[0]).strip()


def _json(text: str) -> Any:
    """The JSON value in a text (a list, an object, or one object a line), or None."""
    starts = [i for i in (text.find("["), text.find("{")) if i >= 0]
    if not starts or not _looks_like_json(text[min(starts) :]):
        return None
    try:
        value, _ = json.JSONDecoder(strict=False).raw_decode(text[min(starts) :])
    except (ValueError, RecursionError):  # also a number of 4300 digits, a thousand brackets
        return None
    if isinstance(value, dict) and not any(k in value for k in LIST_KEYS) and len(value) <= 3:
        return _json_lines(text)
    return value


def _looks_like_json(text: str) -> bool:
    return bool(re.match(r"[\[{]\s*[\[{\"]", text))


def _json_lines(text: str) -> list[Any] | None:
    values = []
    for line in text.splitlines():
        stripped = line.strip().rstrip(",")
        if stripped.startswith("{"):
            try:
                values.append(json.loads(stripped, strict=False))
            except (ValueError, RecursionError):
                return None
    return values or None


def _from_json(data: Any, names: dict[str, str], draft: _Draft) -> None:
    draft.mended("read_json")
    if isinstance(data, dict):
        data = next((data[k] for k in LIST_KEYS if isinstance(data.get(k), list)), None)
    if not isinstance(data, list):
        raise _RefuseError("broken_json", "no list of turns in it")
    if data and all(isinstance(x, str) for x in data):
        _from_lines("\n".join(data), names, draft)
        return
    for item in data:
        name, said = _entry(item)
        speaker = names.get(name.strip().casefold())
        if speaker is None:
            if name.strip().casefold() in ("system", "narrator"):
                draft.mended("dropped_narration")
                continue
            raise _RefuseError("unknown_speaker" if name else "missing_speaker", name or said)
        draft.turns.append((speaker, said))


def _entry(item: Any) -> tuple[str, str]:
    if not isinstance(item, dict):
        raise _RefuseError("broken_json", f"a turn is {type(item).__name__}")
    said = next((item[k] for k in TEXT_KEYS if isinstance(item.get(k), str)), None)
    name = next((item[k] for k in SPEAKER_KEYS if isinstance(item.get(k), str)), "")
    if said is None and len(item) == 1:
        name, said = next(iter(item.items()))
    if not isinstance(said, str):
        raise _RefuseError("broken_json", f"a turn has no text: {item}")
    return name, said


def _from_lines(text: str, names: dict[str, str], draft: _Draft) -> None:
    strangers: list[str] = []
    closed, fragment = False, ""
    for line in text.splitlines():
        if not line.strip(" \t,[]{}"):
            continue
        speaker, rest = _labelled(line, names, strangers)
        if fragment and speaker:
            raise _RefuseError("broken_json", fragment)
        if speaker:
            draft.turns.append((speaker, rest))
        elif not draft.turns:
            _preamble(line, draft)
        elif TORN.match(line):
            fragment = line
            draft.mended("dropped_unfinished_turn")
        elif closed or CLOSERS.match(line):
            closed = True
            draft.mended("dropped_commentary")
        else:
            _continue(line, draft)
    _refuse_strangers(strangers)


def _labelled(line: str, names: dict[str, str], strangers: list[str]) -> tuple[str | None, str]:
    found = JSON_LABEL.match(line) or LABEL.match(line)
    if not found:
        return None, line
    name = found["name"].strip(" .'’-").casefold()
    speaker = names.get(name) or names.get(re.sub(r"\s*\d+$", "", name))
    if speaker is None and len(name.split()) <= 3 and found["name"][:1].isupper():
        strangers.append(found["name"].strip())
    return speaker, found["rest"]


def _refuse_strangers(strangers: list[str]) -> None:
    """A name that speaks twice is a speaker that nobody introduced."""
    repeated = {n for n in strangers if strangers.count(n) > 1}
    if repeated:
        raise _RefuseError("unknown_speaker", ", ".join(sorted(repeated)))


def _preamble(line: str, draft: _Draft) -> None:
    bare = line.strip()
    if is_refusal(bare):
        raise _RefuseError("refusal", bare)
    if re.match(r"^\*?\*?[(\[].*[)\]]\*?\*?$", bare) or re.match(r"^\*[^*]+\*$", bare):
        draft.mended("removed_stage_directions")
    elif OPENERS.search(bare) or re.fullmatch(r"\*\*[^*]+\*\*", bare):
        draft.mended("dropped_preamble")
    else:
        raise _RefuseError("missing_speaker", bare)


def _continue(line: str, draft: _Draft) -> None:
    bare = line.strip()
    if re.fullmatch(r"[(\[*].{1,120}[)\]*]", bare):
        draft.mended("removed_stage_directions")
        return
    if re.match(r"[\"“][A-Z]", bare) and _closed_quote(draft.turns[-1][1]):
        raise _RefuseError("missing_speaker", bare)
    if re.match(r"^[\W_]*(?:scene|later|meanwhile|narrator)\b.*:?", bare, re.IGNORECASE):
        draft.mended("dropped_narration")
        return
    speaker, text = draft.turns[-1]
    draft.turns[-1] = (speaker, f"{text}\n\n{bare}")
    draft.mended("joined_paragraphs")


def _closed_quote(text: str) -> bool:
    return bool(re.match(r"^\s*[\"“].*[\"”],?\s*$", text, re.DOTALL))


def _checked(draft: _Draft, persona: Sequence[str], replies: tuple[int, int]) -> Parsed:
    turns = [(who, said, _cleaned(said, draft)) for who, said in draft.turns]
    turns = _without_unfinished(turns, draft)
    _refuse_bad_order([who for who, _, _ in turns])
    for number, (who, _, said) in enumerate(turns, start=1):
        _refuse_bad_turn(who, said, number, persona)
    if turns and turns[-1][0] == "user":
        turns = turns[:-1]
        draft.mended("dropped_unanswered_turn")
    count = sum(who == "persona" for who, _, _ in turns)
    if count < replies[0]:
        raise _RefuseError("too_short", f"{count} replies")
    if count > replies[1]:
        raise _RefuseError("too_long", f"{count} replies")
    roles: dict[str, Literal["user", "assistant"]] = {"user": "user", "persona": "assistant"}
    messages = tuple(Message(role=roles[who], content=said) for who, _, said in turns)
    return Parsed(turns=messages, repairs=tuple(draft.repairs))


def _refuse_bad_order(speakers: list[str]) -> None:
    if speakers and speakers[0] == "persona":
        raise _RefuseError("persona_first")
    for number, (one, two) in enumerate(pairwise(speakers), start=2):
        if one == two:
            raise _RefuseError("same_speaker_twice", f"turn {number}: {one}")


def _refuse_bad_turn(who: str, said: str, number: int, persona: Sequence[str]) -> None:
    if not re.search(r"\w", said):
        raise _RefuseError("empty_turn", f"turn {number}")
    if PLACEHOLDER.search(said):
        raise _RefuseError("placeholder", said)
    if who == "persona" and _speaks_as_model(said):
        raise _RefuseError("out_of_character", said)
    named = "|".join(re.escape(n) for n in persona)
    if who == "user" and named and re.search(rf"(?i)\bas an? (?:{named}),? (?:i|my)\b", said):
        raise _RefuseError("swapped_speakers", said)


def _speaks_as_model(said: str) -> bool:
    return bool(OUT.search(said)) or (is_refusal(said) and "help with that" in said)


def _without_unfinished(turns: list[tuple[str, str, str]], draft: _Draft) -> list[Any]:
    """Without a last turn that was cut off: by the limit, or in the middle of a quotation."""
    if not turns:
        return turns
    _, raw, clean = turns[-1]
    open_quote = raw.strip()[:1] in '"“' and raw.strip() != "" and not _closes(raw)
    unfinished = open_quote or not raw.strip() or (draft.cut and not ENDS.search(clean))
    if unfinished and len(turns) > 1:
        draft.mended("dropped_unfinished_turn")
        return turns[:-1]
    return turns


def _closes(raw: str) -> bool:
    return bool(re.search(r"[\"”][\s,}\])*]*$", raw.strip()[1:]))


def _cleaned(said: str, draft: _Draft) -> str:
    """A turn's text without quotes, JSON's leftovers, Markdown and stage directions."""
    text = said.strip()
    if text[:1] in '"“':
        text = re.sub(r"[\"”][\s,}\]]*$", "", text[1:]).strip()
        text = _unescaped(text)
    text = re.sub(r"^(?:\*\*|__)(.*)(?:\*\*|__)$", r"\1", text, flags=re.DOTALL)
    bare = _without_directions(text)
    if bare != text:
        draft.mended("removed_stage_directions")
    return re.sub(r"\*{1,2}([^*\n]+)\*{1,2}", r"\1", bare).strip()


def _unescaped(text: str) -> str:
    return text.replace("\\n", "\n").replace('\\"', '"').replace("\\'", "'")


def _without_directions(text: str) -> str:
    def starred(match: re.Match[str]) -> str:
        inner = match["inner"].strip()
        alone = match.start() == 0 or match.end() == len(text)
        return "" if ACTION.match(inner) and (alone or " " in inner) else match[0]

    def aside(match: re.Match[str]) -> str:
        inner = (match["inner"] or match["last"] or "").strip()
        return " " if ACTION.match(inner.lower()) or match["inner"] else match[0]

    if not any(mark in text for mark in "*([") or PLACEHOLDER.search(text):
        return text
    text = EDGE_ASIDE.sub(aside, STARRED.sub(starred, text)).strip()
    return re.sub(r"[ \t]{2,}", " ", BRACKETED.sub(" ", text)).strip()
