"""How like real images others are: KID, FID, precision and recall. The one file that knows torch-fidelity.

The features of each set of images are taken once, and serve all figures and the distances.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from chimeramix.errors import RunFailure, UserError, one_line
from chimeramix.evaluate.options import EXTRACTOR as DEFAULT

_PLAIN = (DEFAULT, "vgg16")  # their weights are tensors and nothing else
_METRICS = ("kid", "fid", "prc")
_BATCH = 64
_SUBSETS = 100
_LARGEST_SUBSET = 1000
_NEIGHBOURS = 3


@dataclass(frozen=True)
class Fidelity:
    """Of images, against real ones.

    Attributes:
        images: M.
        kid: kernel inception distance (Binkowski et al. 2018), mean over subsets; slightly negative for equal
            distributions. None for fewer than 4 images.
        kid_std: standard deviation over subsets.
        kid_subset: images in a subset: half of the smaller set, at most 1,000. The spread over subsets that are drawn
            without replacement is at least the standard error of their mean only up to half of the images.
        fid: Fréchet inception distance (Heusel et al. 2017).
        fid_dimensions: of the features; with no more images than that their covariance has no full rank, and FID says
            little.
        precision, recall: Kynkäänniemi et al. 2019, 3 neighbours. None for fewer than 4 images.
    """

    images: int
    kid: float | None
    kid_std: float | None
    kid_subset: int
    fid: float | None
    fid_dimensions: int
    precision: float | None
    recall: float | None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the KID: 1.96 standard deviations to each side."""
        if self.kid is None or self.kid_std is None:
            return None
        return self.kid - 1.96 * self.kid_std, self.kid + 1.96 * self.kid_std


class Extractor:
    """A pretrained network of torch-fidelity.

    Args:
        name: as torch-fidelity knows it.
        weights: a file of them; None downloads them, or takes them from torch's cache.

    Raises:
        RunFailure: where torch-fidelity is not installed, or the weights can't be downloaded.
        UserError: for an unknown name, and for a file that does not hold these weights.
    """

    def __init__(self, name: str, weights: Path | None, device: torch.device) -> None:
        check_installed()
        from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY as KNOWN
        from torch_fidelity.utils import create_feature_extractor, resolve_feature_layer_for_metric

        if name not in KNOWN:
            raise UserError(f"--extractor {name}: unknown; there are {', '.join(KNOWN)}")
        if weights is not None and not weights.is_file():
            raise UserError(f"--weights {weights}: no such file")
        self.name = name
        self.layers = {metric: resolve_feature_layer_for_metric(metric, feature_extractor=name) for metric in _METRICS}
        self._device = device if device.type == "cuda" else torch.device("cpu")
        with _told(name, weights):
            if weights is not None and name in _PLAIN:  # torch-fidelity would run what a file tells it to
                torch.load(weights, map_location="cpu", weights_only=True)
            self._network = create_feature_extractor(
                name,
                list(dict.fromkeys(self.layers.values())),
                cuda=self._device.type == "cuda",
                feature_extractor_weights_path=None if weights is None else str(weights),
                verbose=False,
            )

    @torch.no_grad()
    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Features `[M, d]` float64 on the CPU, by metric, of uint8 images `[M, 3, S, S]`."""
        parts = [self._network(batch.to(self._device)) for batch in images.split(_BATCH)]
        together = [torch.cat([part[place].cpu() for part in parts]).double() for place in range(len(parts[0]))]
        layers = self._network.convert_features_tuple_to_dict(tuple(together))
        return {metric: layers[layer] for metric, layer in self.layers.items()}


def fidelity(features: dict[str, Tensor], real: dict[str, Tensor], seed: int) -> Fidelity:
    """Figures of images by their features, against those of real images; see `Extractor`.

    Args:
        seed: draws the subsets of the KID.
    """
    from torch_fidelity import metric_fid, metric_kid, metric_prc

    count = min(len(features["kid"]), len(real["kid"]))
    subset = min(_LARGEST_SUBSET, count // 2)
    kid: dict[str, float] = {}
    prc: dict[str, float] = {}
    fid: dict[str, float] = {}
    if subset >= 2:
        kid = metric_kid.kid_features_to_metric(
            features["kid"],
            real["kid"],
            kid_subsets=_SUBSETS,
            kid_subset_size=subset,
            rng_seed=seed % 2**32,  # NumPy's range
            verbose=False,
        )
    if count >= 2:
        statistics = [metric_fid.fid_features_to_statistics(each["fid"]) for each in (features, real)]
        fid = metric_fid.fid_statistics_to_metric(*statistics, verbose=False)
    if count > _NEIGHBOURS:
        prc = metric_prc.prc_features_to_metric(
            features["prc"], real["prc"], prc_neighborhood=_NEIGHBOURS, verbose=False
        )
    return Fidelity(
        images=len(features["kid"]),
        kid=kid.get(metric_kid.KEY_METRIC_KID_MEAN),
        kid_std=kid.get(metric_kid.KEY_METRIC_KID_STD),
        kid_subset=subset,
        fid=fid.get(metric_fid.KEY_METRIC_FID),
        fid_dimensions=features["fid"].shape[1],
        precision=prc.get(metric_prc.KEY_METRIC_PRECISION),
        recall=prc.get(metric_prc.KEY_METRIC_RECALL),
    )


def check_installed() -> str:
    """torch-fidelity's version. Raises `RunFailure` where it is not installed."""
    try:
        import torch_fidelity
    except ModuleNotFoundError as error:
        if error.name != "torch_fidelity":
            raise
        raise RunFailure(
            'torch_fidelity is not installed; KID and FID need it: pip install "chimeramix[fidelity]", or leave them '
            "out with --no-fidelity"
        ) from error
    return str(torch_fidelity.__version__)


@contextmanager
def _told(name: str, weights: Path | None) -> Iterator[None]:
    """What can be wrong with weights, in one line."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except NotImplementedError as error:
        raise UserError(f"--weights {weights}: {name} takes no file of weights; leave it out") from error
    except Exception as error:
        # A file that is not of tensors makes unpickling raise nearly anything, and torch hides what a download met.
        if weights is not None:
            reason = one_line(error)[:120]
            raise UserError(f"--weights {weights}: not the weights of {name} ({reason}); {_remedy(name)}") from error
        if not isinstance(error, OSError | RuntimeError):
            raise
        raise RunFailure(
            f"the weights of {name} could not be downloaded ({one_line(error)}): {_remedy(name)}, or leave KID and FID "
            "out with --no-fidelity"
        ) from error


def _remedy(name: str) -> str:
    if name == DEFAULT:
        from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

        return f"fetch {URL_INCEPTION_V3} where there is a network, and name the file with --weights FILE"
    return f"load them where there is a network, and copy {torch.hub.get_dir()} from there"
