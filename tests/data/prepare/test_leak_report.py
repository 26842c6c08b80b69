"""The leak report against plain, slow definitions."""

from __future__ import annotations

import numpy as np
import pytest

from asl_edge.data.prepare import leak_report


@pytest.fixture
def thumbnails():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (60, 8, 8))
    return np.kron(coarse, np.ones((3, 3))).astype(np.uint8)


def hamming(first, second):
    return int(np.unpackbits(first ^ second).sum())


def report(thumbnails, labels, rows):
    return leak_report.report(thumbnails, labels, rows, str, classes=3)


def rows_of(train, validation, test):
    return {"train": np.array(train), "validation": np.array(validation), "test": np.array(test)}


def test_hash_hardly_changes_with_brightness_and_noise(thumbnails):
    rng = np.random.default_rng(1)
    noisy = np.clip(thumbnails.astype(int) // 2 + 40 + rng.integers(-2, 3, thumbnails.shape), 0, 255).astype(np.uint8)
    hashes, others = leak_report.perceptual_hashes(thumbnails), leak_report.perceptual_hashes(noisy)
    same = [hamming(hashes[n], others[n]) for n in range(60)]
    different = [hamming(hashes[n], others[n - 1]) for n in range(60)]
    assert np.mean(same) < 3
    assert max(same) < min(different)


def test_plain_images_hash_alike():
    plain = np.stack([np.full((24, 24), grey, np.uint8) for grey in (0, 7, 130, 255)])
    assert len(np.unique(leak_report.perceptual_hashes(plain)[1:], axis=0)) == 1


def test_pairs_and_examples_by_definition(thumbnails):
    rng = np.random.default_rng(2)
    copies = np.clip(thumbnails[:8].astype(int) + rng.integers(-9, 10, (8, 24, 24)), 0, 255).astype(np.uint8)
    everything = np.concatenate([thumbnails, copies])
    labels = np.arange(68) % 3
    rows = rows_of(range(40), range(40, 60), range(60, 68))
    hashes = leak_report.perceptual_hashes(everything)
    for near in report(everything, labels, rows).near_duplicates:
        first, second = rows[near.first_split], rows[near.second_split]
        distances = np.array([[hamming(hashes[a], hashes[b]) for a in first] for b in second])
        assert near.pairs == (distances <= leak_report.NEAR_DISTANCE).sum()
        assert near.images == (distances.min(1) <= leak_report.NEAR_DISTANCE).sum()
        assert near.compared == near.of == len(second)
        for example in near.examples:
            assert hamming(hashes[int(example.first)], hashes[int(example.second)]) == example.distance
    between = {(near.first_split, near.second_split): near for near in report(everything, labels, rows).near_duplicates}
    assert between["train", "test"].images >= 6
    assert {int(example.second) - int(example.first) for example in between["train", "test"].examples} == {60}


def test_nearest_neighbour_by_definition(thumbnails):
    labels = np.random.default_rng(3).integers(0, 3, 60)
    rows = rows_of(range(40), [], range(40, 60))
    pixels = thumbnails.reshape(60, -1).astype(int)
    nearest = [np.argmin([((pixels[t] - pixels[q]) ** 2).sum() for t in range(40)]) for q in range(40, 60)]
    found = report(thumbnails, labels, rows)
    assert found.nearest_neighbour_accuracy == np.mean(labels[nearest] == labels[40:])
    assert (found.nearest_neighbour_queries, found.nearest_neighbour_of) == (20, 20)
    assert found.chance == pytest.approx(1 / 3)


def test_blocks_do_not_change_the_answer(thumbnails, monkeypatch):
    labels = np.arange(60) % 3
    rows = rows_of(range(30), range(30, 45), range(45, 60))
    whole = report(thumbnails, labels, rows)
    monkeypatch.setattr(leak_report, "_BLOCK", 7)
    monkeypatch.setattr(leak_report, "_QUERY_BLOCK", 4)
    assert report(thumbnails, labels, rows) == whole


def test_too_many_are_drawn_and_said(thumbnails, monkeypatch):
    monkeypatch.setattr(leak_report, "MAX_PAIRS", 200)
    monkeypatch.setattr(leak_report, "MAX_QUERIES", 6)
    found = report(thumbnails, np.arange(60) % 3, rows_of(range(40), [], range(40, 60)))
    assert (found.near_duplicates[0].compared, found.near_duplicates[0].of) == (5, 20)
    assert (found.nearest_neighbour_queries, found.nearest_neighbour_of) == (6, 20)


def test_without_a_split_there_is_nothing_to_compare(thumbnails):
    found = report(thumbnails, np.arange(60) % 3, rows_of([], [], range(60)))
    assert found.near_duplicates == ()
    assert found.nearest_neighbour_accuracy is None
