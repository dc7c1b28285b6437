"""Routes: one module for each kind of answer."""

from serving.routes import ids as ids  # the paths of all routes are read with it
