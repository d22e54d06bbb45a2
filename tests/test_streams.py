"""Random streams: reproducible, separate, and saved whole."""

import copy
import io
import itertools
import pickle

import pytest
import torch
from scipy.stats import chisquare, kstest, pearsonr

from chimeramix.streams import PortableStream, RandomStream, RunStreams, derive_seed, draw_seed

CPU = torch.device("cpu")
PURPOSES = ["weights", "order", "augment", "partners", "mixing", "dropout"]


def some_numbers(rng: RandomStream) -> list[float]:
    """A bit of everything that a stream draws."""
    drawn = rng.uniform(3).tolist() + rng.integers(1000, 3).tolist() + [rng.coin(0.5)]
    return [float(number) for number in drawn]


def test_same_seed_same_numbers() -> None:
    assert some_numbers(RandomStream(3)) == some_numbers(RandomStream(3))
    assert some_numbers(RandomStream(3)) != some_numbers(RandomStream(4))


def test_numbers_are_those_of_torchs_generator() -> None:
    generator = torch.Generator().manual_seed(7)
    rng = RandomStream(7)
    assert torch.equal(rng.uniform(2, 3), torch.rand(2, 3, generator=generator))
    assert torch.equal(rng.integers(9, 4, 1), torch.randint(9, (4, 1), generator=generator))
    assert rng.coin(0.5) == bool(torch.rand((), generator=generator) < 0.5)


@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
def test_coins(probability: float) -> None:
    rng = RandomStream(0)
    heads = sum(rng.coin(probability) for _ in range(4000))
    assert heads / 4000 == pytest.approx(probability, abs=5 * (probability * (1 - probability) / 4000) ** 0.5)


def test_a_coin_is_one_draw_whatever_the_probability() -> None:
    streams = [RandomStream(0) for _ in range(3)]
    for rng, probability in zip(streams, (0.0, 0.5, 1.0), strict=True):
        rng.coin(probability)
    following = [some_numbers(rng) for rng in streams]
    assert following[0] == following[1] == following[2]


def test_ranges_and_types() -> None:
    rng = RandomStream(0)
    uniform, integers = rng.uniform(50, 100), rng.integers(7, 5000)
    assert (uniform.dtype, integers.dtype) == (torch.float32, torch.int64)
    assert kstest(uniform.flatten(), "uniform").pvalue > 0.01
    assert chisquare(integers.bincount(minlength=7)).pvalue > 0.01


def test_numbers_for_another_purpose_move_no_stream() -> None:
    streams, undisturbed = RunStreams(0, CPU), RunStreams(0, CPU)
    torch.manual_seed(0)
    apart = []
    for each in (streams, undisturbed):
        some_numbers(each["order"])
    for _ in range(2):
        with streams.apart("average"):
            apart.append(some_numbers(streams["order"]) + torch.rand(3).tolist())
    assert apart[0] == apart[1]
    after = some_numbers(streams["order"]) + torch.rand(3).tolist()
    torch.manual_seed(0)
    assert after == some_numbers(undisturbed["order"]) + torch.rand(3).tolist()
    assert set(after).isdisjoint(apart[0])


def test_the_global_generator_has_no_part_in_it() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = some_numbers(RandomStream(0))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert some_numbers(RandomStream(0)) == first


def test_a_stream_goes_on_from_its_state() -> None:
    rng, other = RandomStream(0), RandomStream(1)
    some_numbers(rng)
    state = rng.state_dict()
    expected = some_numbers(rng)
    other.load_state_dict(state)
    assert some_numbers(other) == expected


@pytest.mark.parametrize("make", [RandomStream, PortableStream])
def test_a_stream_can_be_pickled_and_copied(make: type[RandomStream]) -> None:
    rng = make(0)
    some_numbers(rng)
    copies = pickle.loads(pickle.dumps(rng)), copy.deepcopy(rng)
    expected = some_numbers(rng)
    assert [some_numbers(copied) for copied in copies] == [expected, expected]


def test_a_portable_stream_on_the_cpu_is_a_random_stream() -> None:
    generator = torch.Generator().manual_seed(3)
    assert some_numbers(PortableStream(3)) == some_numbers(RandomStream(3)) == some_numbers(PortableStream(generator))


def test_a_portable_stream_follows_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU's generator, for which another one on the CPU stands, is seeded from the host's for each batch."""
    streams, real = [PortableStream(3), PortableStream(3)], torch.Generator
    monkeypatch.setattr(torch, "Generator", lambda device: real())
    gpu = torch.device("cuda", 0)
    for rng in streams:
        seeds = []
        for _ in range(2):
            assert rng.on(gpu) is rng
            assert rng.place == gpu
            assert rng.device is not rng.host
            seeds.append(rng.device.initial_seed())
        expected = torch.Generator("cpu").manual_seed(3)
        assert seeds == [draw_seed(expected), draw_seed(expected)]
        rng.on(CPU)
        assert rng.device is rng.host
    assert some_numbers(streams[0]) == some_numbers(streams[1])


def test_purposes_and_seeds_have_streams_of_their_own() -> None:
    """Seed 0 is as good as any other, and neighbours have nothing in common."""
    seeds = {derive_seed(seed, purpose) for seed in range(100) for purpose in PURPOSES}
    assert len(seeds) == 600
    assert all(0 < seed < 2**63 for seed in seeds)
    drawn = [RunStreams(seed, CPU)[purpose].uniform(1000) for seed in (0, 1) for purpose in PURPOSES]
    for one, other in itertools.combinations(drawn, 2):
        assert abs(pearsonr(one, other).statistic) < 0.16  # five standard deviations


def test_derived_seeds_stay() -> None:
    """A change here would change every run. `printf order/0 | sha256sum`: the first 16 digits, halved."""
    assert derive_seed(0, "order") == 0x923F3A31482D36CB >> 1


def test_a_purpose_is_one_stream() -> None:
    """Asking again continues the stream, and what other streams draw changes nothing."""
    streams = RunStreams(0, CPU)
    first = streams["order"].uniform(3)
    streams["mixing"].uniform(100)
    second = streams["order"].uniform(3)
    assert torch.equal(torch.cat([first, second]), RunStreams(0, CPU)["order"].uniform(6))


def test_dropout_follows_the_seed() -> None:
    def dropped(seed: int) -> torch.Tensor:
        RunStreams(seed, CPU)
        return torch.nn.functional.dropout(torch.ones(100))

    assert torch.equal(dropped(0), dropped(0))
    assert not torch.equal(dropped(0), dropped(1))


def test_all_streams_go_on_from_a_checkpoint() -> None:
    """Those that the resumed run has asked for already, and those that it asks for later; dropout's numbers too."""
    streams = RunStreams(0, CPU)
    for purpose in PURPOSES:
        some_numbers(streams[purpose])
    torch.rand(5)
    file = io.BytesIO()
    torch.save(copy.deepcopy(streams.state_dict()), file)
    expected = [some_numbers(streams[purpose]) for purpose in PURPOSES], torch.rand(3).tolist()

    resumed = RunStreams(0, CPU)
    some_numbers(resumed["order"])
    file.seek(0)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert ([some_numbers(resumed[purpose]) for purpose in PURPOSES], torch.rand(3).tolist()) == expected


def test_dirichlet_draws_against_the_moments():
    """E[x_i] = a_i / A, Var[x_i] = a_i (A - a_i) / (A^2 (A + 1)); a parameter of 0 gives a part of 0."""
    concentration = torch.tensor([0.5, 1.0, 0.0, 2.5])
    draws = RandomStream(0).dirichlet(concentration.expand(100_000, 4))
    total = concentration.sum()
    torch.testing.assert_close(draws.sum(1), torch.ones(100_000))
    torch.testing.assert_close(draws.mean(0), concentration / total, atol=0.003, rtol=0)
    expected = concentration * (total - concentration) / (total**2 * (total + 1))
    torch.testing.assert_close(draws.var(0), expected, atol=0.001, rtol=0)
    assert (draws[:, 2] == 0).all()


def test_small_concentrations_give_numbers():
    draws = RandomStream(0).beta(0.01, 10_000)
    assert draws.isfinite().all()
    assert ((draws < 1e-3) | (draws > 1 - 1e-3)).float().mean() > 0.8
