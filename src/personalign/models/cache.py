"""A key-value cache with room to grow: a step writes its keys and values in place.

transformers' `DynamicLayer` concatenates, so that every step copies the whole cache; at 64 rows of
600 tokens that was a third of a step's time (docs/performance.md, "Writing replies").
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers.cache_utils import DynamicLayer

__all__ = ["RoomyLayer", "make_room"]

BLOCK = 128  # tokens by which a layer grows


class RoomyLayer(DynamicLayer):
    """A layer whose `keys` and `values`, [B, H, T, D], are views into larger tensors.

    For use without gradients, as in decoding: what it returned before is overwritten in place.
    """

    _room: tuple[Tensor, Tensor] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append keys and values, [B, H, t, D] each; all of them so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        past = self.get_seq_length()
        total = past + key_states.shape[-2]
        if self._room is None or total > self._room[0].shape[-2]:
            self._room = (_longer(key_states, total), _longer(value_states, total))
            if past:
                self._write(slice(0, past), self.keys, self.values)
        self._write(slice(past, total), key_states, value_states)
        self._show(total)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows."""
        if self._room is not None:
            total = self.get_seq_length()
            keys, values = self._room
            self._room = (keys[indices], values[indices])
            self._show(total)

    def _write(self, place: slice, keys: Tensor, values: Tensor) -> None:
        assert self._room is not None
        self._room[0][..., place, :] = keys
        self._room[1][..., place, :] = values

    def _show(self, total: int) -> None:
        assert self._room is not None
        self.keys, self.values = (room[..., :total, :] for room in self._room)


def _longer(like: Tensor, total: int) -> Tensor:
    """An empty tensor for `total` tokens and up to a block more."""
    rows, heads, _, size = like.shape
    return like.new_empty(rows, heads, (total // BLOCK + 1) * BLOCK, size)


def make_room(cache: Any) -> None:
    """Let an empty cache of transformers grow in place, in layers that see all that came before."""
    full = (RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers)
    cache.layers = list(full)
