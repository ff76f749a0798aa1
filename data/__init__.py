"""Collections of photos: importing, reading and storing them.

Importing this package (the lowest of the project) also sets the environment of the numeric
libraries; see ``data.environment``.
"""

from data import environment as _environment

_environment.configure()
