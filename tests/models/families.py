"""Chat templates that behave as known families' do, and tokenizers for them; all made here."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerFast

__all__ = ["TEMPLATES", "sentencepiece_like", "with_template"]

EACH = "{%- for m in messages %}"
GENERATE = "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{%- endif %}"
TURN = "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
ALTERNATE = (
    "{%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('turns must alternate') }}{%- endif %}"
)
HEAD = "{{ '<|im_start|>assistant\n' }}"
EMPTY = "<think>\n\n</think>\n\n"

TEMPLATES = {
    "drops_system": EACH + "{%- if m.role == 'user' %}" + TURN + "{%- elif m.role == 'assistant' %}"
    "{{ '<|im_start|>assistant\n' + m.content + '<|im_end|>\n' }}{%- endif %}{%- endfor %}"
    + GENERATE,
    "refuses_system": EACH + ALTERNATE + TURN + "{%- endfor %}" + GENERATE,
    "system_in_the_last_turn": "{%- set ns = namespace(system='', turns=messages) %}"
    "{%- if messages[0].role == 'system' %}{%- set ns.system = messages[0].content %}"
    "{%- set ns.turns = messages[1:] %}{%- endif %}{%- for m in ns.turns %}"
    "{%- if m.role == 'user' %}{{ '[INST] ' }}{%- if loop.last and ns.system %}"
    "{{ ns.system + '\n\n' }}{%- endif %}{{ m.content + '[/INST]' }}"
    "{%- else %}{{ ' ' + m.content + eos_token }}{%- endif %}{%- endfor %}",
    "asks_for_thoughts": EACH + "{%- if m.role == 'assistant' and loop.last %}" + HEAD
    + "{{ '<think>\n\n</think>\n\n' + m.content + '<|im_end|>\n' }}{%- else %}" + TURN
    + "{%- endif %}{%- endfor %}{%- if add_generation_prompt %}" + HEAD
    + "{%- if enable_thinking is defined and enable_thinking is false %}"
    "{{ '<think>\n\n</think>\n\n' }}{%- endif %}{%- endif %}",
    "empty_thought": EACH + "{%- if m.role == 'assistant' and loop.last %}" + HEAD
    + "{{ '<think>\n\n</think>\n\n' + m.content + '<|im_end|>\n' }}{%- else %}" + TURN
    + "{%- endif %}{%- endfor %}" + GENERATE,
    "opens_thought": EACH + "{%- if m.role == 'assistant' %}" + HEAD
    + "{{ m.content.split('</think>')[-1] + '<|im_end|>\n' }}{%- else %}" + TURN
    + "{%- endif %}{%- endfor %}{%- if add_generation_prompt %}" + HEAD
    + "{{ '<think>\n' }}{%- endif %}",
    "date": "{{ '<|im_start|>system\nToday: ' + strftime_now('%d %b %Y') + '<|im_end|>\n' }}"
    + EACH + TURN + "{%- endfor %}" + GENERATE,
    "date_string": "{%- if not date_string is defined %}{%- set date_string = "
    "strftime_now('%d %b %Y') %}{%- endif %}{{ 'Today: ' + date_string + '\n' }}"
    + EACH + TURN + "{%- endfor %}" + GENERATE,
    "changes_the_prompt": EACH + "{%- if loop.last and m.role == 'user' %}{{ 'LAST ' }}{%- endif %}"
    + TURN + "{%- endfor %}" + GENERATE,
    "loses_the_user": EACH + "{%- if m.role == 'assistant' %}" + TURN + "{%- endif %}{%- endfor %}"
    + GENERATE,
}  # fmt: skip


def with_template(tokenizer: Any, name: str) -> Any:
    """A copy of a tokenizer under the template of a family."""
    import copy

    own = copy.deepcopy(tokenizer)
    own.chat_template = TEMPLATES[name]
    return own


def sentencepiece_like(texts: list[str]) -> Any:
    """A tokenizer that writes a blank before what begins, with byte fallback, as Llama 2's does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=special, initial_alphabet=["▁"])
    made.train_from_iterator([*texts, "<|user|>\n [INST] x [/INST]"] * 3, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    tokenizer.chat_template = (
        EACH + "{{ '<|' + m.role + '|>\n' + m.content + eos_token + '\n' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{ '<|assistant|>\n' }}{%- endif %}"
    )
    return tokenizer
