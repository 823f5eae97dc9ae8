"""Every image counts once: fillers of a batch don't count, lost and doubled images are refused."""

import pytest
from mmdet.structures import DetDataSample

from mmproscale.errors import InputError
from mmproscale.evaluation.image_accounting import batch_ids, check_batch, own_images

KNOWN = list("abcdefgh")


def counted(ids_of_ranks, size, known=KNOWN):
    ranks = range(len(ids_of_ranks))
    own = [own_images(ids_of_ranks, rank, size, known) for rank in ranks]
    return ["".join(ids[i] for i in o) for ids, o in zip(ids_of_ranks, own, strict=True)]


@pytest.mark.parametrize(
    ("ids_of_ranks", "size", "expected"),
    [
        (["abc"], 3, ["abc"]),
        ([""], 0, [""]),
        (["", ""], 0, ["", ""]),
        (["aceg", "bdfh"], 8, ["aceg", "bdfh"]),
        (["ac", "ba"], 3, ["ac", "b"]),
        (["a", "a", "a"], 1, ["a", "", ""]),
        (["ad", "be", "ca"], 5, ["ad", "be", "c"]),
        (["abc", "dea"], 5, ["abc", "de"]),  # dealt in blocks
        (["ab", "c"], 3, ["ab", "c"]),
    ],
)
def test_each_image_counts_on_one_process(ids_of_ranks, size, expected):
    assert counted(ids_of_ranks, size) == expected


@pytest.mark.parametrize(
    ("ids_of_ranks", "size", "says"),
    [
        (["ac", "b"], 4, "1 of the dataset's 4 images have no result: image d; check"),
        (["a", ""], 4, "3 of the dataset's 4 images have no result: image b and 2 more; check"),
        (["h", "g"], 3, "1 of the dataset's 3 images have no result; check"),
        (["abb", "cd"], 4, "image b has several results"),
        (["abc", "dba"], 4, "image b has several results"),
        (["abcd", "abcd"], 4, "image a has several results"),
        (["abab"], 2, "image a has several results"),
        (["aba"], 2, "image a has several results"),  # one process fills nothing up
        (["abc", "ab"], 3, "image a has several results"),
        (["aab"], 2, "image a has several results"),
        (["abc"], 2, "results of 3 images, but the dataset has 2"),
    ],
)
def test_lost_and_doubled_images(ids_of_ranks, size, says):
    for rank in range(len(ids_of_ranks)):
        with pytest.raises(InputError, match=says):
            own_images(ids_of_ranks, rank, size, KNOWN)


def test_a_batch_comes_back_whole():
    check_batch(None, [1, 1])
    check_batch([3, 1, 3], [1, 3, 3])
    with pytest.raises(InputError, match="image 3 has 0 results, but the dataloader gave it 1"):
        check_batch([1, 3], [1])
    with pytest.raises(InputError, match="image 1 has 2 results, but the dataloader gave it 1"):
        check_batch([1], [1, 1])
    with pytest.raises(InputError, match="image 9 has 1 results, but the dataloader gave it 0"):
        check_batch([1], [1, 9])


def test_ids_of_a_batch():
    samples = [DetDataSample(metainfo={"img_id": image_id}) for image_id in (3, "b")]
    assert batch_ids({"data_samples": samples}) == [3, "b"]
    assert batch_ids({"data_samples": [samples, samples]}) == [3, "b"], "views of one batch"
    unknown = [*samples, DetDataSample()]
    assert batch_ids({"data_samples": unknown}) is None
    assert batch_ids({"inputs": []}) is None and batch_ids(None) is None
