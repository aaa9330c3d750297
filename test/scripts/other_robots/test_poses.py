"""Ways between poses begin and end where they should, and turn no further than needed."""

from __future__ import annotations

import numpy as np
import pytest

from other_robots.poses import DOWN, Pose, between, frame, horizontal, nearest_face, rotation_of, rotation_vector


def test_a_frame_is_a_rotation_with_the_given_axes() -> None:
    rotation = frame(horizontal(0.3), DOWN, "xz")
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    np.testing.assert_allclose(rotation[:, 2], DOWN)


def test_a_way_begins_and_ends_at_its_poses() -> None:
    start = Pose(np.zeros(3), np.eye(3))
    end = Pose(np.array([0.1, -0.2, 0.3]), rotation_of(np.array([0.2, 0.4, -1.0])))
    bow = np.array([0.0, 0.05, 0.0])
    for share, pose in ((0.0, start), (1.0, end)):
        reached = between(start, end, share, bow)
        np.testing.assert_allclose(reached.position, pose.position, atol=1e-12)
        np.testing.assert_allclose(reached.rotation, pose.rotation, atol=1e-9)
    assert between(start, end, 0.5, bow).position[1] == pytest.approx(-0.1 + 0.05)


def test_a_rotation_is_its_vectors() -> None:
    vector = np.array([0.3, -0.5, 0.8])
    np.testing.assert_allclose(rotation_vector(rotation_of(vector)), vector, atol=1e-9)
    np.testing.assert_allclose(rotation_of(np.zeros(3)), np.eye(3))


@pytest.mark.parametrize("angle", [-3.0, 0.2, 1.5, 6.0])
def test_a_cube_has_four_faces(angle: float) -> None:
    face = nearest_face(angle, 0.5)
    assert abs(face - 0.5) <= np.pi / 4 + 1e-9
    assert (face - angle) / (np.pi / 2) == pytest.approx(round((face - angle) / (np.pi / 2)))
