"""`chimeramix.load_generator` as a library's user has it, against the weights in the run's folder."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

import chimeramix
from chimeramix.data.digits import Digits
from chimeramix.errors import UserError
from chimeramix.generators.networks import ChimeraNetwork
from chimeramix.mixing import ChimeraMix
from chimeramix.streams import RandomStream
from tests.runs.generators import Generators

DIGITS = Digits("digits", 32, [0.5] * 3, [0.5] * 3).train()


def by_hand(run: Path) -> ChimeraNetwork:
    network = ChimeraNetwork(features=4, blocks=2, split=1)
    network.load_state_dict(load_file(run / "generator.safetensors"))
    return network


def normalised(images: Tensor) -> Tensor:
    return images.float() / 127.5 - 1


def close(made: Tensor, expected: Tensor) -> bool:
    """Whether uint8 images are normalised ones, to a grey level."""
    assert made.dtype == torch.uint8
    return bool((made.float() - ((expected + 1) * 127.5).clamp(0, 255)).abs().max() <= 1)


@pytest.fixture
def images() -> Tensor:
    """Four pairs `[2, 4, 3, 32, 32]` of any images: they need not be the run's."""
    return torch.randint(256, (2, 4, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_it_is_a_frozen_module_that_says_what_it_is(generators: Generators) -> None:
    folder = str(generators["grid"])
    state = torch.get_rng_state()
    generator = chimeramix.load_generator(folder)
    assert isinstance(generator, torch.nn.Module)
    assert not generator.training
    assert not any(parameter.requires_grad for parameter in generator.parameters())
    assert generator.classes == tuple("0123456789")
    assert (generator.image_size, generator.mask_size) == (32, 8)
    split = json.loads((generators["grid"] / "split.json").read_text())
    assert list(generator.positions) == split["indices"]
    assert list(generator.labels) == DIGITS.labels[split["indices"]].tolist()
    assert torch.equal(torch.get_rng_state(), state), "torch's own random numbers stay as they were"


def test_compositions_under_ones_own_masks(generators: Generators, images: Tensor) -> None:
    """Equation 1: features of the first image times the mask plus those of the second times one minus it."""
    generator, network = chimeramix.load_generator(generators["grid"]), by_hand(generators["grid"])
    mask = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        first, second = (network.encode(normalised(each)) for each in images)
        expected = network.decode(first * mask + second * (1 - mask))
    made = generator.compose(images, mask)
    assert close(made, expected)
    assert torch.equal(generator.compose(images, torch.cat([mask, 1 - mask], 1)), made)
    ones = torch.ones(4, 1, 8, 8)
    assert torch.equal(generator.compose(images, ones), generator.reconstruct(images[0]))
    assert torch.equal(generator.compose(images, 0 * ones), generator.reconstruct(images[1]))


def test_images_of_another_side_are_brought_to_the_networks(generators: Generators) -> None:
    generator, network = chimeramix.load_generator(generators["grid"]), by_hand(generators["grid"])
    large = torch.randint(256, (2, 3, 40, 40), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    with torch.no_grad():
        reduced = F.interpolate(normalised(large), size=(32, 32), mode="bilinear")
        expected = F.interpolate(network(reduced), size=(40, 40), mode="bilinear")
    assert close(generator.reconstruct(large), expected)


@pytest.mark.parametrize("name", ["grid", "segments"])
def test_the_runs_masks(name: str, generators: Generators, images: Tensor) -> None:
    generator = chimeramix.load_generator(generators[name])
    mask = generator.draw_masks(images)
    assert mask.shape == (4, 1, 8, 8)
    assert set(mask.unique().tolist()) <= {0, 1}
    assert torch.equal(generator.compose(images), generator.compose(images, mask))
    assert torch.equal(generator.draw_masks(images, seed=0), mask)
    assert not torch.equal(generator.draw_masks(images, seed=1), mask)


def test_superpixels_are_those_of_the_second_image(generators: Generators) -> None:
    """`mask.source=partner`: a second image without edges is one superpixel, which shows the first image as a whole."""
    generator = chimeramix.load_generator(generators["segments"])
    textured = DIGITS.read([0, 1, 2])
    plain = torch.full_like(textured, 90)
    assert generator.draw_masks(torch.stack([textured, plain])).unique().tolist() == [1]
    assert generator.draw_masks(torch.stack([plain, textured])).unique().tolist() == [0, 1]


def test_three_images(generators: Generators) -> None:
    generator, network = chimeramix.load_generator(generators["three"]), by_hand(generators["three"])
    images = torch.stack([DIGITS.read([number, number + 3]) for number in range(3)])
    mask = generator.draw_masks(images, seed=4)
    assert mask.shape == (2, 3, 8, 8)
    assert torch.equal(mask.sum(1), torch.ones(2, 8, 8))
    with torch.no_grad():
        features = torch.stack([network.encode(normalised(each)) for each in images], 1)
        expected = network.decode((mask[:, :, None] * features).sum(1))
    assert close(generator.compose(images, seed=4), expected)
    with pytest.raises(ValueError, match="the run's mask is for 3 images, got 2"):
        generator.compose(images[:2])
    assert generator.compose(images[:2], torch.ones(2, 1, 8, 8)).shape == (2, 3, 32, 32)


def test_between_two_codes(generators: Generators) -> None:
    generator = chimeramix.load_generator(generators["glico"])
    generator.network.noise_sigma = 0.0
    weights = load_file(generators["glico"] / "generator.safetensors")
    first, second = generator.positions[4:7], generator.positions[1:4]
    begin, end = (weights["codes"][rows] for rows in (slice(4, 7), slice(1, 4)))
    made = generator.between(first, second, [0.0, 0.5, 1.0])
    middle = F.normalize(begin[1] + end[1], dim=0)  # on the sphere, half the way is the direction of the mean
    codes = torch.stack([begin[0], middle, end[2]])
    with torch.no_grad():
        expected = 2 * generator.network.generate(codes, RandomStream(0)) - 1
    assert made.shape == (3, 3, 32, 32)
    assert close(made, expected)
    assert generator.between(first, second, 0.25).shape == (3, 3, 32, 32)


def test_the_mixer_of_a_training_loop(generators: Generators, images: Tensor) -> None:
    """It is that of `ChimeraMix.from_run`, and shares the network."""
    generator = chimeramix.load_generator(generators["grid"])
    support, labels = DIGITS.read(generator.positions), torch.tensor(generator.labels)
    mixer = generator.mixer(support, labels, probability=1, rng=3)
    batch = normalised(images[0]), torch.tensor([0, 1, 2, 3])
    other = ChimeraMix.from_run(generators["grid"], support, labels, probability=1, rng=3)
    mixed, targets = mixer(*batch)
    assert torch.equal(mixed, other(*batch)[0])
    assert targets.argmax(1).tolist() == [0, 1, 2, 3]
    assert mixer.generator is generator.network


def test_what_a_kind_of_generator_cannot_do(generators: Generators, images: Tensor) -> None:
    glico, supermix = (chimeramix.load_generator(generators[name]) for name in ("glico", "supermix"))
    assert glico.mask_size is None
    for generator in (glico, supermix):
        for work in (
            lambda made: made.compose(images),
            lambda made: made.draw_masks(images),
            lambda made: made.reconstruct(images[0]),
            lambda made: made.mixer(images[0], torch.arange(4)),
        ):
            with pytest.raises(ValueError, match="needs a generator that encodes images, of ChimeraMix"):
                work(generator)
    for generator in (supermix, chimeramix.load_generator(generators["grid"])):
        with pytest.raises(ValueError, match="between needs a generator with codes, of GLICO"):
            generator.between([0], [1], 0.5)
    assert supermix.network.images.dtype == torch.uint8


def test_arguments_that_will_not_do(generators: Generators, images: Tensor) -> None:
    grid, glico = (chimeramix.load_generator(generators[name]) for name in ("grid", "glico"))
    for wrong in (images.float(), images[0], images[..., :30], images[:, :0], images[:1]):
        with pytest.raises(ValueError, match="images must be"):
            grid.compose(wrong)
    with pytest.raises(ValueError, match=r"images must be uint8 \[B, 3, H, H\], got torch.uint8 \[2, 4, 3, 32, 32\]"):
        grid.reconstruct(images)
    for mask in (torch.ones(4, 1, 16, 16), torch.ones(4, 3, 8, 8), torch.ones(4, 1, 8, 8, dtype=torch.int64)):
        with pytest.raises(ValueError, match=r"mask must be float \[4, 1, 8, 8\] or \[4, 2, 8, 8\], got"):
            grid.compose(images, mask)
    for mask in (torch.full((4, 1, 8, 8), 1.5), torch.ones(4, 2, 8, 8)):
        with pytest.raises(ValueError, match=r"mask must have values in \[0, 1\]"):
            grid.compose(images, mask)
    known = glico.positions[:2]
    with pytest.raises(ValueError, match=r"\[-1\] are no positions of the run's training images"):
        glico.between([known[0], -1], known, 0.5)
    with pytest.raises(ValueError, match="equally many positions, got 1 and 2"):
        glico.between(known[:1], known, 0.5)
    for weight in (1.5, [0.1, 0.2, 0.3]):
        with pytest.raises(ValueError, match=r"weight must be one number in \[0, 1\], or 2 of them"):
            glico.between(known, known, weight)


def test_a_folder_without_a_finished_generator(plain: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no result\.json"):
        chimeramix.load_generator(tmp_path)
    with pytest.raises(UserError, match="is the run of a classifier, not of a generator"):
        chimeramix.load_generator(plain)
