"""Which models can be scored as prompt trees: by their configuration, and by trying."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from personalign.errors import ModelError
from personalign.models.trees import Tree, score_trees

__all__ = ["check_apart", "check_servable"]

APART = 0.5  # nats a token, more than the rounding of half precision makes


def check_apart(model: Any) -> None:
    """Refuse a model whose attention lets branches or trees see one another.

    Raises:
        ModelError: with the difference, in nats, that a neighbour made.
    """
    middle = model.config.get_text_config().vocab_size // 2
    prompt, reply = tuple(range(middle, middle + 8)), tuple(range(middle - 12, middle))
    alone = score_trees(model, [Tree(prompt, (reply,))])[0][0]
    among = score_trees(model, [Tree(reply, (prompt,)), Tree(prompt, (reply, reply))])[1][1]
    away = float((alone - among).abs().max())  # who sees its twin has only to repeat it
    if not away <= APART:
        raise ModelError(
            f"branches of a prompt tree see one another: {away:.2g} nats between a reply scored "
            "alone and among others",
            "load the base with loader transformers",
        )


def check_servable(model: Any) -> None:
    """Refuse, by name, a model whose tree scores would differ from scoring one by one."""
    config = model.config.get_text_config()
    name = model.config.model_type
    for reason in _obstacles(model, config):
        raise ModelError(
            f"model type {name!r} cannot be scored as a prompt tree: {reason}",
            "use a decoder with rotary positions such as Llama, Qwen, Mistral, Gemma or SmolLM",
        )


def _obstacles(model: Any, config: Any) -> Iterable[str]:
    if getattr(model.config, "is_encoder_decoder", False):
        yield "it is an encoder-decoder"
    if not any("rotary" in name.rsplit(".", 1)[-1] for name, _ in model.named_modules()):
        yield "it has no rotary positions"
    kinds = set(getattr(config, "layer_types", None) or ())
    if other := kinds - {"full_attention", "sliding_attention"}:
        yield f"it has layers of type {', '.join(sorted(other))}"
    if getattr(config, "attention_chunk_size", None):
        yield "it attends in chunks"
    if getattr(config, "final_logit_softcapping", None):
        yield "it caps its final logits"
    if getattr(config, "attn_logit_softcapping", None):
        yield "it caps its attention logits"
    if any(name.endswith("sinks") for name, _ in model.named_parameters()):
        yield "it has attention sinks"
    scales = (getattr(config, key, None) for key in ("logit_scale", "logits_scaling"))
    if any(scale not in (1.0, None) for scale in scales):
        yield "it rescales its final logits"
    head = model.get_output_embeddings()
    if head is None or getattr(head, "bias", None) is not None:
        yield "its language-model head is missing or has a bias"
