"""Packaging of mmproscale.

No OpenMMLab package is required here: stock and its maintained fork install the same modules under
different distribution names, and naming one would write over the other's files. `import mmproscale`
says what is missing; the extras and requirements.txt install it.
"""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def version() -> str:
    """Return `__version__` without importing the package, whose import checks what is installed."""
    namespace: dict[str, str] = {}
    exec((ROOT / "mmproscale" / "version.py").read_text(encoding="utf-8"), namespace)
    return namespace["__version__"]


def description() -> str:
    """Return the README, where there is one."""
    readme = ROOT / "README.md"
    return readme.read_text(encoding="utf-8") if readme.is_file() else ""


setup(
    name="mmproscale",
    version=version(),
    description="Efficient universal segmentation for OpenMMLab: PRO-SCALE and its kin",
    keywords=["panoptic segmentation", "Mask2Former", "OpenMMLab", "mmdet"],
    long_description=description(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=find_packages(include=["mmproscale", "mmproscale.*"]),
    # Under .mim are links to configs/, tools/ and model-index.yml, where mim looks for a package's;
    # here they become files.
    package_data={
        "mmproscale": ["py.typed", *(f".mim/**/*.{end}" for end in ("py", "sh", "yml"))],
        "mmproscale.reports": ["templates/*"],
    },
    entry_points={"console_scripts": ["mmproscale = mmproscale.cli.console:main"]},
    install_requires=[
        "torch>=2.6",
        "numpy",
        "hotcoco",
        "jinja2",
        "matplotlib",
        "pillow",
        "pyarrow>=19",
        "pycocotools",
        "rich",
        "safetensors",
        # mmengine imports pkg_resources, which later releases no longer have.
        "setuptools<81",
    ],
    extras_require={
        "openmmlab": [
            "mmengine==0.10.7",
            "mmcv-lite==2.1.0",
            "mmdet==3.3.0",
            "mmsegmentation==1.2.2",
            "ftfy",
            "regex",
        ],
        # pip builds its mmcv apart from torch, in seconds and without its compiled ops.
        "onedl": [
            "onedl-mmengine==0.10.12",
            "onedl-mmcv==2.3.6",
            "onedl-mmdetection==3.5.1",
            "onedl-mmsegmentation==1.4.2",
        ],
        "hub": ["huggingface_hub>=1.0"],
        "export": ["onnx>=1.18", "onnxscript>=0.5", "onnxruntime>=1.20", "openvino>=2025.0"],
        "gpu": ['deformops>=3.0.1; python_version >= "3.12"'],
        "int8": ["nncf>=3.0"],
        "timm": ["timm>=1.0.31", "torchvision"],
        "mmpretrain": ["mmpretrain==1.2.0"],
        "onedl-mmpretrain": ["onedl-mmpretrain==1.3.6"],
        "dev": [
            "fvcore",
            "hypothesis",
            "import-linter",
            "mypy",
            "pytest",
            "pytest-xdist",
            "ruff",
            "transformers>=5",
        ],
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    zip_safe=False,
)
