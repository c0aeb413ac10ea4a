"""Placement: the table of reference architectures, and every error."""

import pytest

from nlvideo.models import resolve_placement

R50 = [3, 4, 6, 3]
R101 = [3, 4, 23, 3]
ALL_R50 = {"res2": [0, 1, 2], "res3": [0, 1, 2, 3], "res4": [0, 1, 2, 3, 4, 5], "res5": [0, 1, 2]}


@pytest.mark.parametrize(
    ("at", "depths", "expected"),
    [
        # The paper's code.
        ("nl5", R50, {"res3": [1, 3], "res4": [1, 3, 5]}),
        ("nl5", R101, {"res3": [1, 3], "res4": [6, 13, 20]}),
        ("nl10", R50, {"res3": [0, 1, 2, 3], "res4": [0, 1, 2, 3, 4, 5]}),
        ("nl1", R50, {"res4": [4]}),  # before the last residual block
        ("nl1", R101, {"res4": [21]}),
        ("none", R50, {}),
        ("all", R50, ALL_R50),
        # Counts are spread evenly.
        ({"res3": 2, "res4": 3}, R50, {"res3": [1, 3], "res4": [1, 3, 5]}),
        ({"res4": 6}, R101, {"res4": [2, 5, 8, 11, 14, 17]}),
        ({"res2": 1}, R50, {"res2": [2]}),
        ({"res2": 0, "res5": 3}, R50, {"res5": [0, 1, 2]}),
        # Indices, also from the end, in any order.
        ({"res4": [1, -2]}, R50, {"res4": [1, 4]}),
        ({"res5": [-1], "res2": [0]}, R50, {"res2": [0], "res5": [2]}),
        ({"res4": [22, 0]}, R101, {"res4": [0, 22]}),
        ({"res4": [-23]}, R101, {"res4": [0]}),
        ({"res3": []}, R50, {}),
        ({"res3": 1, "res4": [0]}, [1, 2, 2, 1], {"res3": [1], "res4": [0]}),
    ],
)
def test_places(at, depths, expected):
    assert resolve_placement(at, depths) == expected


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ("nl7", r"placement 'nl7': expected none, nl1, nl5, nl10, all, or a mapping such as"),
        ({"res6": 1}, r"no stage 'res6'; the stages are res2, res3, res4, res5"),
        ({"res3": 5}, r"placement res3: 5 blocks .* give a count from 0 to 4"),
        ({"res3": -1}, r"give a count from 0 to 4"),
        ({"res4": [6]}, r"placement res4: no block 6; .* from 0 to 5 \(or -6 to -1\)"),
        ({"res4": [-7]}, r"no block -7"),
        ({"res4": [5, -1]}, r"names a block twice"),
    ],
)
def test_impossible_places_name_the_possible_ones(at, words):
    with pytest.raises(ValueError, match=words):
        resolve_placement(at, R50)


def test_a_preset_deeper_than_the_network_is_an_error():
    with pytest.raises(ValueError, match="res4 has 2 residual blocks"):
        resolve_placement("nl5", [1, 2, 2, 1])
