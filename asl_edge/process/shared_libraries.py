"""What to install where a Python package is there and a library of the system that it needs is not."""

from __future__ import annotations

_MISSING = r"(lib[\w.+-]+?\.so[\w.]*): cannot open shared object file"
_HEADLESS = ", or use opencv-python-headless instead"
_APT = {
    "libGL.so": f"libgl1 libglib2.0-0{_HEADLESS}",
    "libgthread-2.0.so": f"libglib2.0-0{_HEADLESS}",
    "libglib-2.0.so": f"libglib2.0-0{_HEADLESS}",
    "libSM.so": f"libsm6{_HEADLESS}",
    "libICE.so": f"libice6{_HEADLESS}",
    "libXext.so": f"libxext6{_HEADLESS}",
    "libXrender.so": f"libxrender1{_HEADLESS}",
    "libX11.so": f"libx11-6{_HEADLESS}",
    "libxcb.so": f"libxcb1{_HEADLESS}",
    "libgomp.so": "libgomp1",
    "libstdc++.so": "libstdc++6",
    "libatomic.so": "libatomic1",
    "libopenblas.so": "libopenblas0",
}
"""Beginning of a library's name -> the Debian and Ubuntu packages that bring it."""

_NVIDIA = ("libcu", "libnv", "libnccl")


def remedy_for(message: str) -> str | None:
    """Return a sentence that says what to install, or None if the message does not name a missing library.

    Args:
        message: of an ImportError, such as "libGL.so.1: cannot open shared object file: No such file or directory".
    """
    import re

    match = re.search(_MISSING, message)
    if match is None:
        return None
    library = match[1]
    if library.startswith(_NVIDIA):
        return "Install NVIDIA's libraries with it: pip install 'asl-edge[gpu]'."
    for beginning, packages in _APT.items():
        if library.startswith(beginning):
            return f"Install what it needs: sudo apt install {packages}."
    return f"Install the system's package that brings {library}."
