"""Which packages a wheel holds; everything else about the package stands in pyproject.toml.

assets/ and examples/ lie at the top of the repository and travel inside omni (omni/shipped.py).
"""

from setuptools import find_packages, setup

SHIPPED = {f"omni._shipped.{folder}": folder for folder in ("assets", "examples")}

setup(
    packages=[*find_packages(include=("omni*", "demos*", "finetune*")), *SHIPPED],
    package_dir=SHIPPED,
)
