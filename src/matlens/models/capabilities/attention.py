"""What the tokens of a vision transformer attend to, read from a model that can tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from matlens.errors import ModelError
from matlens.types import Array


@dataclass(frozen=True)
class Attention:
    """Which tokens each token of some photos takes from, block by block.

    blocks: (B, L, T, T) float32 for L blocks and T tokens, averaged over the heads. A row is the token that takes, a
        column the one that is taken from; each row sums to 1.
    pooled: (T,) float32, the share of each token in the features that go into the head; it sums to 1.
    grid: (h, w) of the patches, which are the last h * w tokens.
    """

    blocks: Array
    pooled: Array
    grid: tuple[int, int]


@runtime_checkable
class ReadsAttention(Protocol):
    """A classifier that can tell what its tokens attend to, where its network is made so."""

    def attention(self, images: Array) -> Attention:
        """Compute the attention of photos (B, H, W, 3) in [0, 1].

        Raises ModelError where the network has none between all its tokens.
        """


def attention_of(classifier: object, images: Array, model: str) -> Attention:
    """Read the attention of photos (B, H, W, 3) in [0, 1] from a classifier.

    model: its name, for messages.

    Raises:
        ModelError: it is no vision transformer, or one whose attention cannot be read.
    """
    if not isinstance(classifier, ReadsAttention):
        raise no_attention(model, "it is no vision transformer")
    return classifier.attention(images)


def no_attention(model: str, why: str) -> ModelError:
    """Return the refusal of a model whose attention cannot be read."""
    return ModelError(f"The attention of {model} cannot be read: {why}. Choose --method gradcam, which explains every "
                      "model, or name vision transformers alone with --models.")
