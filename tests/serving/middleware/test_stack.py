"""The order of the middleware: the application wraps its routes in the order of one list, outermost first."""

from starlette.middleware.errors import ServerErrorMiddleware

from serving.app import create_app
from serving.middleware.access_log import AccessLogMiddleware
from serving.middleware.authentication import ApiKeyMiddleware
from serving.middleware.head_requests import HeadMiddleware
from serving.middleware.headers import SecurityHeadersMiddleware
from serving.middleware.page_sessions import PageSessionMiddleware
from serving.middleware.proxy import ProxyMiddleware
from serving.middleware.rate_limit import RateLimitMiddleware
from serving.middleware.request_limits import RequestLimitMiddleware
from serving.pages.error_pages import ErrorPageMiddleware
from serving.privacy.audit_middleware import AuditMiddleware

ORDER = [
    ProxyMiddleware,
    AccessLogMiddleware,
    SecurityHeadersMiddleware,
    ErrorPageMiddleware,
    ServerErrorMiddleware,
    RequestLimitMiddleware,
    PageSessionMiddleware,
    ApiKeyMiddleware,
    RateLimitMiddleware,
    AuditMiddleware,
    HeadMiddleware,
]


def wrappers(app):
    """Return every ASGI wrapper, from the outermost to the router."""
    while app is not None:
        yield type(app)
        app = getattr(app, "app", None) or getattr(app, "_app", None)


def test_middleware_wraps_the_routes_in_the_order_of_the_list(home, champion):
    built = create_app(home).build_middleware_stack()
    assert [wrapper for wrapper in wrappers(built) if wrapper in ORDER] == ORDER
