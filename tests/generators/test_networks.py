import pytest
import torch
import torch.nn.functional as F

from chimeramix.generators.networks import ChimeraNetwork, Decoder, Encoder, PatchDiscriminator
from chimeramix.generators.padding import ReflectionPad2d, reflect_by_flips


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def stages(module, *shape):
    """Shapes after each stage, without the batch, and each stage's number of parameters; on no device."""
    shapes = []
    hooks = [stage.register_forward_hook(lambda _, __, out: shapes.append(list(out.shape[1:]))) for stage in module]
    module(torch.empty(2, *shape, device="meta"))
    for hook in hooks:
        hook.remove()
    return shapes, [count(stage) for stage in module]


@pytest.mark.parametrize("size", [64, 96])
def test_encoder_layers(size):
    with torch.device("meta"):
        encoder = Encoder()
    half, quarter = size // 2, size // 4
    shapes, counts = stages(encoder, 3, size, size)
    assert shapes == [[64, size, size], [128, half, half]] + 3 * [[256, quarter, quarter]]
    assert counts == [9_472, 73_856, 295_168, 1_180_160, 1_180_160]
    assert count(encoder) == 2_738_816


@pytest.mark.parametrize("size", [64, 96])
def test_decoder_layers(size):
    with torch.device("meta"):
        decoder = Decoder()
    half, quarter = size // 2, size // 4
    shapes, counts = stages(decoder, 256, quarter, quarter)
    assert shapes == 2 * [[256, quarter, quarter]] + [[128, half, half], [64, size, size], [3, size, size]]
    assert counts == [1_179_648, 1_179_648, 131_072, 32_768, 9_411]
    assert count(decoder) == 2_532_547


@pytest.mark.parametrize(("size", "sizes"), [(64, [32, 16, 8, 4, 4]), (96, [48, 24, 12, 6, 6])])
def test_discriminator_layers(size, sizes):
    with torch.device("meta"):
        discriminator = PatchDiscriminator()
    shapes, counts = stages(discriminator, 3, size, size)
    assert shapes == [[c, side, side] for c, side in zip([64, 128, 256, 512, 1], sizes, strict=True)]
    assert counts == [3_136, 131_200, 524_544, 2_097_664, 8_193]
    assert count(discriminator) == 2_764_737


def test_discriminator_with_the_papers_stride():
    with torch.device("meta"):
        discriminator = PatchDiscriminator(stride=1)
    shapes, _ = stages(discriminator, 3, 64, 64)
    assert [shape[1] for shape in shapes] == [63, 62, 61, 60, 60]
    assert count(discriminator) == 2_764_737


def test_parameters_of_the_whole_generator():
    with torch.device("meta"):
        assert count(ChimeraNetwork()) == 5_271_363
        assert count(ChimeraNetwork(decoder_blocks="discarded")) == 2_912_067
        # One block moved from the decoder to the encoder brings two biases of 256.
        assert count(ChimeraNetwork(split=3)) == 5_271_363 + 512


@pytest.fixture
def network():
    torch.manual_seed(0)
    return ChimeraNetwork(features=4, blocks=3, split=1)


def normalised(features):
    mean = features.mean(dim=(2, 3), keepdim=True)
    variance = features.var(dim=(2, 3), keepdim=True, correction=0)
    return (features - mean) / (variance + 1e-5).sqrt()


def reflected(features, padding):
    return F.pad(features, (padding,) * 4, mode="reflect")


def recomputed_block(features, weights):
    (first, first_bias), (second, second_bias) = weights
    hidden = normalised(F.conv2d(reflected(features, 1), first, first_bias)).relu()
    return features + normalised(F.conv2d(reflected(hidden, 1), second, second_bias))


def convolutions(module):
    kinds = (torch.nn.Conv2d, torch.nn.ConvTranspose2d)
    return [(layer.weight, layer.bias) for layer in module.modules() if isinstance(layer, kinds)]


def test_generator_against_a_plain_recomputation(network):
    network.double()
    images = 2 * torch.rand(2, 3, 16, 12, dtype=torch.float64) - 1
    stem, down1, down2, *block = convolutions(network.encoder)
    x = normalised(F.conv2d(reflected(images, 3), *stem)).relu()
    x = normalised(F.conv2d(x, *down1, stride=2, padding=1)).relu()
    x = normalised(F.conv2d(x, *down2, stride=2, padding=1)).relu()
    features = recomputed_block(x, block)
    torch.testing.assert_close(network.encode(images), features)

    *blocks, up1, up2, last = convolutions(network.decoder)
    x = recomputed_block(recomputed_block(features, blocks[:2]), blocks[2:])
    x = normalised(F.conv_transpose2d(x, *up1, stride=2)).relu()
    x = normalised(F.conv_transpose2d(x, *up2, stride=2)).relu()
    expected = F.conv2d(reflected(x, 3), *last).tanh()
    torch.testing.assert_close(network.decode(features), expected)
    torch.testing.assert_close(network(images), expected)


def test_discriminator_against_a_plain_recomputation():
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(features=4).double()
    images = torch.randn(2, 3, 32, 48, dtype=torch.float64)
    *blocks, last = convolutions(discriminator)
    x = images
    for number, block in enumerate(blocks):
        x = F.conv2d(x, *block, stride=2, padding=1)
        x = F.leaky_relu(normalised(x) if number else x, 0.2)
    left_top = torch.zeros(2, 32, 3, 4, dtype=torch.float64)
    left_top[:, :, 1:, 1:] = x
    expected = F.conv2d(left_top, *last, padding=1).sigmoid()
    scores = discriminator(images)
    assert scores.shape == (2, 1, 2, 3)
    torch.testing.assert_close(scores, expected)


def test_training_and_evaluation_are_the_same(network):
    images = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(network.train()(images), network.eval()(images))
    discriminator = PatchDiscriminator(features=4)
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(discriminator.train()(images), discriminator.eval()(images))
    assert not list(network.buffers()) + list(discriminator.buffers())


def test_a_mask_of_ones_is_the_first_and_of_zeros_the_second_image(network):
    first, second = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        encoded_first, encoded_second = network.encode(first), network.encode(second)
        ones = torch.ones(2, 1, 4, 4)
        assert torch.equal(network.decode(network.mix(encoded_first, encoded_second, ones)), network(first))
        assert torch.equal(network.decode(network.mix(encoded_first, encoded_second, 0 * ones)), network(second))


def test_mix_weighs_by_the_mask():
    mask = torch.tensor([[[[0.0, 0.25], [0.5, 1.0]]]])
    first, second = torch.full((1, 2, 2, 2), 8.0), torch.full((1, 2, 2, 2), 4.0)
    expected = torch.tensor([[4.0, 5.0], [6.0, 8.0]]).expand(1, 2, 2, 2)
    assert torch.equal(ChimeraNetwork.mix(first, second, mask), expected)
    half = ChimeraNetwork.mix(first.bfloat16(), second.bfloat16(), mask)
    assert half.dtype == torch.bfloat16
    assert torch.equal(half.float(), expected)


def test_mix_refuses_masks_that_would_broadcast_wrongly():
    features = torch.zeros(2, 2, 4, 4)
    for shape in ((2, 4, 4), (2, 2, 4, 4), (2, 1, 1, 1), (4, 4)):
        with pytest.raises(ValueError, match=r"mask must be \[2, 1, 4, 4\]"):
            ChimeraNetwork.mix(features, features, torch.ones(shape))


def test_discarded_blocks_give_what_the_rest_of_the_decoder_gives(network):
    short = ChimeraNetwork(features=4, blocks=3, split=1, decoder_blocks="discarded")
    short.encoder.load_state_dict(network.encoder.state_dict())
    for target, source in zip(short.decoder, list(network.decoder)[2:], strict=True):
        target.load_state_dict(source.state_dict())
    images = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        features = network.encode(images)
        for layer in list(network.decoder)[2:]:
            features = layer(features)
        assert torch.equal(short(images), features)


def test_every_weight_gets_a_gradient(network):
    output = network(torch.rand(2, 3, 32, 32))
    PatchDiscriminator(features=4)(output).mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name


@pytest.mark.parametrize("padding", [0, 1, 3])
def test_both_paddings_agree_in_value_and_gradient(padding):
    images = torch.randn(2, 3, 5, 4, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 3, 5 + 2 * padding, 4 + 2 * padding, dtype=torch.float64)
    native, flipped = ReflectionPad2d(padding)(images), reflect_by_flips(images, padding)
    assert torch.equal(native, flipped)
    gradients = [torch.autograd.grad((padded * weights).sum(), images)[0] for padded in (native, flipped)]
    torch.testing.assert_close(*gradients)


def test_padding_of_a_worked_example():
    row = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]])
    expected = torch.tensor([[5.0, 4, 5, 6, 5], [2, 1, 2, 3, 2], [5, 4, 5, 6, 5], [2, 1, 2, 3, 2]])
    assert torch.equal(reflect_by_flips(row, 1)[0, 0], expected)
    assert torch.equal(ReflectionPad2d(1)(row)[0, 0], expected)


@pytest.mark.gpu
def test_gradients_on_cuda_are_the_same_in_every_run():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    torch.manual_seed(0)
    network = ChimeraNetwork(features=16).cuda()
    images = torch.rand(8, 3, 64, 64, device="cuda")
    deterministic = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        runs = [torch.autograd.grad(network(images).square().sum(), list(network.parameters())) for _ in range(3)]
    finally:
        torch.backends.cudnn.deterministic = deterministic
    assert all(torch.equal(*pair) for other in runs[1:] for pair in zip(runs[0], other, strict=True))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ChimeraNetwork(split=5), r"split must be between 0 and blocks \(4\), got 5"),
        (lambda: ChimeraNetwork(blocks=-1), r"split must be between 0 and blocks \(-1\), got 2"),
        (lambda: ChimeraNetwork(decoder_blocks="thrown"), "decoder_blocks must be applied or discarded, got thrown"),
        (lambda: Encoder(features=0), "features must be at least 1, got 0"),
        (lambda: Decoder(blocks=-1), "blocks must not be negative, got -1"),
        (lambda: PatchDiscriminator(stride=3), "stride must be 1 or 2, got 3"),
        (lambda: PatchDiscriminator(features=0), "features must be at least 1, got 0"),
        (lambda: ReflectionPad2d(-1), "padding must not be negative, got -1"),
        (lambda: Encoder(4)(torch.zeros(1, 3, 30, 32)), "multiples of 4 and at least 8, got 30x32"),
        (lambda: Encoder(4)(torch.zeros(1, 3, 4, 8)), "multiples of 4 and at least 8, got 4x8"),
        (lambda: PatchDiscriminator(4)(torch.zeros(1, 3, 28, 32)), "at least 32 pixels per side, got 28x32"),
        (lambda: ReflectionPad2d(3)(torch.zeros(1, 3, 3, 8)), "reflection by 3 needs more pixels .* got 3x8"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_smallest_images_that_are_accepted():
    assert ChimeraNetwork(features=2)(torch.rand(1, 3, 8, 8)).shape == (1, 3, 8, 8)
    assert PatchDiscriminator(features=2)(torch.rand(1, 3, 32, 32)).shape == (1, 1, 2, 2)
    assert PatchDiscriminator(features=2, stride=1)(torch.rand(1, 3, 6, 6)).shape == (1, 1, 2, 2)
