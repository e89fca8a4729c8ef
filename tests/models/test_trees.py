"""The prompt-tree kernel equals scoring every completion alone, or refuses the model by name."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GemmaConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

from personalign.errors import ModelError
from personalign.models import attention
from personalign.models.head import token_log_probs
from personalign.models.local import LocalModel
from personalign.models.trees import (
    Tree,
    log_probs,
    pack,
    score_trees,
    shared_prefix,
)

SMALL = {
    "vocab_size": 211,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
SERVED = [LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config, GemmaConfig]


def make(config: Any) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


def forest(
    seed: int, branches: tuple[int, ...], vocabulary: int = 200, longest: int = 30
) -> list[Tree]:
    draw = random.Random(seed)

    def tokens(least: int) -> tuple[int, ...]:
        return tuple(draw.randrange(3, vocabulary) for _ in range(draw.randint(least, longest)))

    return [Tree(tokens(2), tuple(tokens(1) for _ in range(n))) for n in branches]


def alone(model: Any, tree: Tree, branch: tuple[int, ...]) -> torch.Tensor:
    """Log-probs of one completion through the model's own logits: the definition."""
    ids = torch.tensor([tree.prompt + branch])
    start = len(tree.prompt) - 1
    all_log_probs = model(ids).logits[0].float().log_softmax(-1)
    return all_log_probs[start:-1].gather(1, torch.tensor(branch)[:, None]).squeeze(1)


def all_alone(model: Any, trees: list[Tree]) -> torch.Tensor:
    return torch.cat([alone(model, t, b) for t in trees for b in t.branches])


def under_block_mask(model: Any, trees: list[Tree]) -> torch.Tensor:
    """The oracle of the layout: one row of all trees under a dense mask, through all logits."""
    ids, positions, places, predicted = list[int](), list[int](), list[tuple[int, int]](), []
    for number, t in enumerate(trees):
        root = len(ids) + len(t.prompt) - 1
        for branch, tokens in enumerate((t.prompt, *t.branches)):
            start = len(t.prompt) if branch else 0
            if branch:
                sources = (root, *range(len(ids), len(ids) + len(tokens) - 1))
                predicted += [*zip(sources, tokens, strict=True)]
            ids += tokens
            positions += range(start, start + len(tokens))
            places += [(number, branch)] * len(tokens)
    tree, branch_of = torch.tensor(places).T
    own = (branch_of[None] == 0) | (branch_of[None] == branch_of[:, None])
    visible = own & (tree[None] == tree[:, None]) & torch.ones(own.shape).tril().bool()
    logits = model(
        torch.tensor([ids]),
        position_ids=torch.tensor([positions]),
        attention_mask=visible[None, None],
    ).logits[0]
    source, target = torch.tensor(predicted).T
    chosen: torch.Tensor = logits.float().log_softmax(-1)[source, target]
    return chosen


@pytest.mark.parametrize("config", SERVED, ids=lambda c: c.__name__)
@pytest.mark.parametrize("oracle", [all_alone, under_block_mask])
def test_equals_scoring_alone(config: Any, oracle: Any) -> None:
    model = make(config(**SMALL))
    trees = forest(1, (2, 3, 16, 1, 5))
    with torch.no_grad():
        packed = log_probs(model, pack(trees))
        torch.testing.assert_close(packed, oracle(model, trees), atol=1e-4, rtol=0)


def test_gradients_equal_autograd_through_full_logits() -> None:
    model = make(LlamaConfig(**SMALL, tie_word_embeddings=False))
    trees = forest(2, (2, 4))
    weights = torch.randn(sum(len(b) for t in trees for b in t.branches))
    gradients = []
    for result in (log_probs(model, pack(trees)), all_alone(model, trees)):
        model.zero_grad()
        (result * weights).sum().backward()
        gradients.append({n: p.grad.clone() for n, p in model.named_parameters()})
    assert any("lm_head" in name for name in gradients[0])
    for name, expected in gradients[1].items():
        torch.testing.assert_close(gradients[0][name], expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("reentrant", [True, False])
def test_layers_computed_again_in_the_backward_pass_see_the_layout(reentrant: bool) -> None:
    packed = pack([Tree(tuple(range(40, 60)) + t.prompt, t.branches) for t in forest(2, (2, 4))])
    gradients = []
    for again in (False, True):
        model = make(LlamaConfig(**SMALL)).train()
        if again:
            how = {"use_reentrant": reentrant}
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=how)
            model.enable_input_require_grads()
        log_probs(model, packed).sum().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters()})
    for name, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], expected, atol=1e-6, rtol=1e-5)


def test_without_a_tree_the_model_attends_as_before() -> None:
    model = make(MistralConfig(**SMALL, sliding_window=8))
    ids, mask = torch.arange(3, 27).view(2, 12), torch.ones(2, 12, dtype=torch.long)
    mask[0, :5] = 0
    with torch.no_grad():
        before = model(ids, attention_mask=mask).logits
        log_probs(model, pack([Tree((3, 4), ((1, 2),))]))
        assert torch.equal(model(ids, attention_mask=mask).logits, before)
    assert attention.NAME not in str(model.config.to_dict())


def test_layers_that_drop_the_layout_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(LlamaConfig(**SMALL))
    layer = model.model.layers[0].self_attn
    inner = layer.forward

    def forgetful(*args: Any, **given: Any) -> Any:
        given.pop("tree_layout")
        return inner(*args, **given)

    monkeypatch.setattr(layer, "forward", forgetful)
    with pytest.raises(ModelError, match="LlamaAttention does not pass keyword arguments on"):
        log_probs(model, pack(forest(1, (2, 3))))


def test_siblings_are_invisible() -> None:
    model = make(LlamaConfig(**SMALL))
    tree = forest(3, (4,))[0]
    changed = Tree(tree.prompt, (tree.branches[0], *((7,) * len(b) for b in tree.branches[1:])))
    n = len(tree.branches[0])
    with torch.no_grad():
        before, after = (log_probs(model, pack([t]))[:n] for t in (tree, changed))
    assert torch.equal(before, after)


def test_other_trees_in_the_row_are_invisible() -> None:
    model = make(LlamaConfig(**SMALL))
    first, second = forest(4, (2, 3))
    n = sum(map(len, first.branches))
    with torch.no_grad():
        alone_, beside = (log_probs(model, pack(t))[:n] for t in ([first], [first, second]))
        torch.testing.assert_close(alone_, beside, atol=1e-5, rtol=0)


def test_what_prompts_begin_with_is_computed_once_with_all_gradients() -> None:
    system = tuple(range(10, 60))
    trees = [Tree(system + t.prompt, t.branches) for t in forest(5, (2, 3, 1))]
    packed = pack(trees, 0)
    assert packed.input_ids.numel() == sum(t.size for t in trees) - 2 * shared_prefix(trees)
    found = []
    for way in (lambda m: log_probs(m, packed), lambda m: all_alone(m, trees)):
        model = make(LlamaConfig(**SMALL))
        values = way(model)
        (values * torch.linspace(-1, 1, len(values))).sum().backward()
        found.append((values.detach(), {n: p.grad for n, p in model.named_parameters()}))
    (ours, ours_grad), (theirs, theirs_grad) = found
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    for name, expected in theirs_grad.items():
        torch.testing.assert_close(ours_grad[name], expected, atol=1e-4, rtol=1e-3)


def test_shared_prefix_is_cached_and_changes_nothing() -> None:
    model = make(LlamaConfig(**SMALL))
    system = tuple(range(10, 60))
    trees = [Tree(system + t.prompt, t.branches) for t in forest(5, (2, 3, 2, 2))]
    assert shared_prefix(trees) >= 50
    scored = torch.cat([b for t in score_trees(model, trees, max_tokens=100) for b in t])
    with torch.no_grad():
        torch.testing.assert_close(scored, all_alone(model, trees), atol=1e-4, rtol=0)


def test_prefixes_within_prefixes_are_cached_and_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make(LlamaConfig(**SMALL))
    system, first, second = tuple(range(10, 40)), tuple(range(50, 80)), tuple(range(80, 110))
    plain = forest(8, (2, 1, 3, 2, 1, 2, 1))
    heads = (system + first, system + second, system, (), system + first, system + second, system)
    trees = [Tree(head + t.prompt, t.branches) for head, t in zip(heads, plain, strict=True)]
    seen: list[int] = []
    inner = model.get_decoder().forward

    def counting(**given: Any) -> Any:
        seen.append(given["input_ids"].numel())
        return inner(**given)

    monkeypatch.setattr(model.get_decoder(), "forward", counting)
    scored = torch.cat([b for t in score_trees(model, trees) for b in t])
    assert sum(seen) == len(system + first + second) + sum(t.size for t in plain)
    with torch.no_grad():
        torch.testing.assert_close(scored, all_alone(model, trees), atol=1e-4, rtol=0)


def test_completions_of_one_token_cost_no_position() -> None:
    model = make(LlamaConfig(**SMALL))
    trees = [Tree((5, 6, 7), ((3,), (4,), (9,))), Tree((8, 9), ((3,), (4,)))]
    packed = pack(trees)
    assert packed.input_ids.numel() == 5 == sum(t.size for t in trees)
    with torch.no_grad():
        torch.testing.assert_close(
            log_probs(model, packed), all_alone(model, trees), atol=1e-5, rtol=0
        )


def test_what_predicts_several_tokens_meets_the_head_once_and_gets_all_gradients() -> None:
    torch.manual_seed(0)
    hidden = torch.randn(3, 8, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(50, 8, dtype=torch.float64, requires_grad=True)
    row, target = torch.tensor([0, 1, 1, 2, 1]), torch.tensor([4, 9, 9, 30, 49])
    pull = torch.randn(5)
    found = token_log_probs(hidden, weight, row, target)
    plain = (hidden @ weight.T).log_softmax(-1)[row, target]
    torch.testing.assert_close(found, plain.float(), atol=1e-5, rtol=0)
    ours = torch.autograd.grad(found, [hidden, weight], pull)
    theirs = torch.autograd.grad(plain, [hidden, weight], pull.double())
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own, other, atol=1e-5, rtol=0)


def test_the_heads_own_hooks_run() -> None:
    model, seen = make(LlamaConfig(**SMALL)), []
    head = model.get_output_embeddings()
    head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape))
    log_probs(model, pack(forest(1, (2, 3))))
    assert len(seen) == 1
    assert "forward" not in vars(head)


def test_a_prompt_that_is_all_prefix_keeps_its_last_token() -> None:
    model = make(LlamaConfig(**SMALL))
    prompt = tuple(range(10, 60))
    trees = [Tree(prompt, ((3, 4),)), Tree(prompt, ((5,), (6, 7)))]
    assert shared_prefix(trees) == len(prompt) - 1
    scored = torch.cat([b for t in score_trees(model, trees) for b in t])
    with torch.no_grad():
        torch.testing.assert_close(scored, all_alone(model, trees), atol=1e-4, rtol=0)


def test_order_and_batches_do_not_matter() -> None:
    model = make(LlamaConfig(**SMALL))
    trees = forest(6, (2, 3, 1, 2, 4, 2))
    whole = score_trees(model, trees)
    small = score_trees(model, trees, max_tokens=50)
    for a, b in zip(whole, small, strict=True):
        torch.testing.assert_close(torch.cat(a), torch.cat(b), atol=1e-5, rtol=0)


def test_embedded_model_equals_scoring_alone(embedded: LocalModel) -> None:
    trees = forest(4, (2, 16), vocabulary=40000, longest=30)
    scored = torch.cat([b for t in embedded.score(trees) for b in t])
    with torch.no_grad():
        torch.testing.assert_close(scored, all_alone(embedded.model, trees), atol=1e-4, rtol=0)


def test_a_path_beyond_the_sliding_window_is_refused() -> None:
    model = make(MistralConfig(**SMALL, sliding_window=8))
    with pytest.raises(ModelError, match="sliding window of 8"):
        log_probs(model, pack([Tree(tuple(range(3, 10)), ((1, 2, 3),))]))


def test_empty_pieces_are_refused() -> None:
    with pytest.raises(ModelError, match="non-empty"):
        Tree((1, 2), ((3,), ()))
