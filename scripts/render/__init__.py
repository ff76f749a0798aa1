"""Renderer of the demo landmark collection (an offline tool, not a run-time dependency).

`plan` draws every scene parameter from (seed, label, photo) and `manifest` writes the
collection's files; both need NumPy at most.  `kit` and `kinds` build landmark meshes with NumPy.
`materials`, `scene` and `engine` need Blender's `bpy`; `post` and `leak` (does the
background give a landmark away?) need OpenCV.
"""

VERSION = "2.0"
