"""Metadata of the example package hal_planner."""

from setuptools import setup

PACKAGE = "hal_planner"

setup(
    name=PACKAGE,
    version="0.1.0",
    description="A planner that switches options at the boundary events of hal_ros: an example to copy.",
    license="Apache-2.0",
    maintainer="hal_ros maintainers",
    maintainer_email="hal-ros@example.com",
    python_requires=">=3.10",
    packages=[PACKAGE],
    package_data={PACKAGE: ["durations.json"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
    ],
    zip_safe=False,
    entry_points={"console_scripts": ["planner = hal_planner.node:main"]},
)
