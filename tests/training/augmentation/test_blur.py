"""Blur takes away what is fine, in the share that was sampled."""

from __future__ import annotations

import numpy as np
import pytest

from asl_edge.imaging.preprocess import opencv
from asl_edge.training.augmentation.blur import blur, sample_shares
from asl_edge.training.augmentation.policy import Augmentation


def sharpness(images):
    """Variance of the Laplacian of each image."""
    cv2 = opencv()
    return np.array([cv2.Laplacian(image.astype(np.float64), cv2.CV_64F).var() for image in images])


def test_the_more_the_share_the_less_the_sharpness(noisy_images, tensors, to_numpy):
    images = np.repeat(noisy_images[:1], 4, axis=0).astype(np.float32)
    seen = to_numpy(blur(tensors(images), tensors([0, 0.3, 0.6, 1])))
    assert np.array_equal(seen[0], images[0])
    left = sharpness(seen) / sharpness(images)
    assert (np.diff(left) < 0).all()
    assert left[3] < 0.05


def test_blurred_through_it_is_the_gaussian_of_opencv(noisy_images, tensors, to_numpy):
    images = noisy_images.astype(np.float32)
    seen = to_numpy(blur(tensors(images), tensors(np.ones(len(images)))))
    cv2 = opencv()
    expected = [cv2.GaussianBlur(image, (7, 7), 1.7, borderType=cv2.BORDER_REFLECT) for image in images]
    assert seen == pytest.approx(np.stack(expected), abs=1e-2)


def test_as_many_images_are_blurred_as_asked(make_draws, to_numpy):
    shares = to_numpy(sample_shares(Augmentation(blur=0.8, blur_probability=0.3), make_draws(1000)))
    assert np.mean(shares > 0) == pytest.approx(0.3, abs=0.05)
    assert 0.75 < shares.max() <= 0.8


def test_the_layer_blurs(noisy_images, augmented):
    seen = augmented(noisy_images, blur=1, blur_probability=1)
    assert (sharpness(seen) < sharpness(noisy_images)).all()
    assert np.array_equal(augmented(noisy_images, blur=1, blur_probability=0), noisy_images)
