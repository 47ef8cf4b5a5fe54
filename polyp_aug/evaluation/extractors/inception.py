"""Inception-v3 as FID, KID and IS are defined by it: torch-fidelity's, with the weights of the original program.

Pictures are squeezed to 299 px by area averaging before (see `crops.squeezed`), so that torch-fidelity's own resizing,
bilinear without averaging as in the original program, has nothing left to do. Figures can differ from those of programs
that hand over files of another size.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from importlib.metadata import version
from types import ModuleType
from urllib.error import URLError

import numpy as np
import torch
from torch import Tensor

from polyp_aug.encoders.digest import digest_weights
from polyp_aug.errors import ConfigurationError, MissingDependencyError
from polyp_aug.evaluation.extractors.names import INCEPTION_LABEL
from polyp_aug.evaluation.features import Features, extract_batches
from polyp_aug.images import ImageArray
from polyp_aug.optional import require

#: What FID and KID are taken of.
LAYER = "2048"


class InceptionFeatures:
    """The 2,048 channels before the classifier; `logits` are those without bias, as in the original program.

    Args:
        weights: file of weights in torch-fidelity's format (`weights-inception-2015-12-05-6726825d.pth`); None for
            torch-fidelity's own download.
        batch_size: pictures at once.
        device: where to compute.

    Raises:
        ConfigurationError: the weights can't be read, or can't be downloaded.
        MissingDependencyError: torch-fidelity is not installed, or can't be imported.
    """

    size = 299
    label = INCEPTION_LABEL

    def __init__(self, weights: str | None = None, *, batch_size: int = 16, device: str = "cpu") -> None:
        self._batch_size, self._device = batch_size, device
        module = _fidelity()
        if weights is not None:
            _check_weights(weights)
        try:
            network = module.FeatureExtractorInceptionV3("polyp_aug", [LAYER], feature_extractor_weights_path=weights)
        except (URLError, ConnectionError) as error:
            raise ConfigurationError(
                f"the weights of Inception-v3 can't be downloaded ({error}); get {module.URL_INCEPTION_V3} by other "
                "means and name the file, as inception=FILE"
            ) from error
        except (RuntimeError, AttributeError) as error:
            raise ConfigurationError(
                f"{weights or module.URL_INCEPTION_V3}: no weights of Inception-v3 ({error})"
            ) from error
        self._network = network.to(device).eval().requires_grad_(False)
        state = network.state_dict()
        self._classes = state["fc.weight"].double().cpu().numpy()
        self.revision = digest_weights(LAYER, sorted(state.items()))
        self.name = (
            f"Inception-v3, 2,048 channels (torch-fidelity {version('torch-fidelity')}, weights {self.revision})"
        )

    def extract(self, pictures: Iterable[ImageArray]) -> Features:
        """See `FeatureExtractor.extract`; D is 2,048."""
        return extract_batches(pictures, self.size, self._batch_size, self._device, self._described)

    def logits(self, features: Features) -> Features:
        """See `Classifier.logits`: of 1,008 classes."""
        return np.asarray(features @ self._classes.T)

    def _described(self, pictures: Tensor) -> Tensor:
        found: Tensor = self._network(pictures.to(torch.uint8))[0]
        return found


def _fidelity() -> ModuleType:
    try:
        return require("torch_fidelity.feature_extractor_inceptionv3", "inception")
    except (RuntimeError, OSError) as error:
        # torchvision's operators are compiled for one build of torch; it fails so where torch is another.
        raise MissingDependencyError(
            f"torch_fidelity can't be imported ({error}): torchvision must be the build that belongs to torch "
            f"{torch.__version__}"
        ) from error


def _check_weights(weights: str) -> None:
    """Raise where a file is no plain file of tensors: torch-fidelity would run code that is in it."""
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigurationError(f"{weights}: can't be read as a file of tensors alone ({reason})") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ConfigurationError(f"{weights}: a {type(state).__name__}, expected tensors by name")
