"""The page, as the README and a Hugging Face Space start it: python app.py [flags].

python app.py --help lists the flags; what they do stands in demos/launch.py.
"""

from __future__ import annotations

import sys

from demos.launch import program

if __name__ == "__main__":
    sys.exit(program())
