"""A network without its classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from features.infrastructure.errors import InputError
from features.preprocessing import Preprocessing
from features.tensors import check_tensors, tensors_sha256


class Backbone(nn.Module):
    """A network without its classifier, with its input transform and its identity.

    Attributes:
        name: Architecture, such as ``resnet50``.
        weights: The weights as the user named them: ``default``, ``none``, a file or a run.
        dim: Width D of the features.
        preprocessing: The network's own input transform.
        pooling: How the features are pooled.
        classifier: Weight (K, D) and bias (K,) of the published classifier; None if it is not known.
        classes: (K,) names of its classes if the model states them.
        blueprint: What builds the network without the address that it came from, as JSON values; None if its name does.
    """

    classifier: tuple[Tensor, Tensor] | None = None
    classes: tuple[str, ...] | None = None
    blueprint: Mapping[str, Any] | None = None

    def __init__(
        self, network: nn.Module, name: str, weights: str, dim: int, preprocessing: Preprocessing, pooling: str = "avg"
    ) -> None:
        super().__init__()
        self.network = network
        self.name, self.weights, self.dim = name, weights, dim
        self.preprocessing, self.pooling = preprocessing, pooling

    def forward(self, x: Tensor) -> Tensor:
        """Compute features (B, D) of normalised images (B, 3, H, W).

        Raises:
            InputError: The network returns no tensor, as networks with auxiliary heads do in training mode.
        """
        features = self.network(x)
        if not isinstance(features, Tensor):
            found = f"a {type(features).__name__} in {'training' if self.training else 'evaluation'} mode"
            raise InputError(f"backbone {self.name}: returns {found}, not one tensor of features; choose another model")
        return features.flatten(1)

    def weights_sha256(self) -> str:
        """Return the SHA-256 of every parameter and buffer, in the order of their names."""
        return tensors_sha256(self.network.state_dict())

    def fill(self, state: Mapping[str, Any], where: str) -> None:
        """Load tensors by name from ``state``, which messages call ``where``; further tensors are ignored.

        Raises:
            InputError: A tensor is missing, has another shape, or holds numbers of another kind.
        """
        expected = self.network.state_dict()
        missing = [name for name in expected if not isinstance(state.get(name), Tensor)]
        wrong = [name for name in expected if name not in missing and state[name].shape != expected[name].shape]
        if missing or wrong:
            raise InputError(
                f"{where}: does not fit {self.name}: {len(missing)} of {len(expected)} tensors are missing and "
                f"{len(wrong)} have another shape, first {(missing + wrong)[0]!r}"
            )
        check_tensors(state, expected, where, "give the weights of this network")
        self.network.load_state_dict({name: state[name] for name in expected})
