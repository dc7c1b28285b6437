"""Ids of users in paths: opaque, so that slashes and line ends are part of them."""

from starlette.convertors import PathConvertor, register_url_convertor


class IdConvertor(PathConvertor):
    """`{user:id}`: Starlette's own `path` ends at a line end."""

    regex = r"[\s\S]*"


register_url_convertor("id", IdConvertor())
