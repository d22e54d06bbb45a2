import numpy as np
import torch
from sklearn.datasets import load_digits

from chimeramix.data.digits import Digits
from chimeramix.types import DataSource


def digits(image_size: int) -> Digits:
    return Digits("digits", image_size, mean=[0.5] * 3, std=[0.5] * 3)


def test_are_those_of_scikit_learn():
    expected = load_digits()
    source: DataSource = digits(image_size=8)
    train, test = source.train(), source.test()

    assert (len(train.labels), len(test.labels)) == (797, 1000)
    assert train.classes == tuple("0123456789")
    assert torch.cat([train.labels, test.labels]).tolist() == expected.target.tolist()
    images = torch.cat([train.read(range(797)), test.read(range(1000))])
    assert images.shape == (1797, 3, 8, 8)
    for channel in range(3):
        assert np.array_equal(np.rint(images[:, channel].numpy() / 255 * 16), expected.images)
    assert (images.min(), images.max()) == (0, 255)


def test_are_resized_and_read_in_the_order_asked_for():
    part = digits(image_size=32).train()
    images = part.read([5, 0])
    assert images.shape == (2, 3, 32, 32)
    assert images.dtype == torch.uint8
    assert torch.equal(images, part.read(range(6))[[5, 0]])


def test_need_nothing():
    source = Digits("digits", 8, [0.5] * 3, [0.5] * 3, data_dir="/nowhere/at/all")
    source.prepare()
    assert source.facts() == {}
