"""Version 1 of the HTTP API: its authentication, its error answers, and the routers of the apps."""

from typing import Any

from django.db import Error
from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, ValidationError
from ninja.openapi.docs import Swagger
from ninja.security import APIKeyHeader, HttpBearer

from caching.serving.api import router as derived
from caching.serving.serve import CannotCompute
from core.errors import SlipwayError, WrongInput
from core.http.tokens import token_name
from providers.api import router as lines

RETRY_SECONDS = "30"


class Bearer(HttpBearer):
    """The authentication by `Authorization: Bearer TOKEN`. The class name appears in openapi.json."""

    def authenticate(self, request: HttpRequest, token: str) -> str | None:
        return token_name(request)


class Key(APIKeyHeader):
    """The authentication by `X-API-Key: TOKEN`. The class name appears in openapi.json."""

    param_name = "X-API-Key"

    def authenticate(self, request: HttpRequest, key: str | None) -> str | None:
        return token_name(request)


api = NinjaAPI(
    title="Slipway",
    version="1",
    description="Derived sports data. Authorize with one of the tokens in API_TOKENS.",
    auth=[Bearer(), Key()],
    docs=Swagger({"persistAuthorization": True}),
    urls_namespace="api",
)
api.add_router("/derived", derived)
api.add_router("/lines", lines)


@api.exception_handler(AuthenticationError)
def answer_unauthorized(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    answer = _problem(request, 401, "the token is missing or unknown", "send Authorization: Bearer TOKEN")
    answer["WWW-Authenticate"] = "Bearer"
    return answer


@api.exception_handler(ValidationError)
def answer_malformed(request: HttpRequest, error: ValidationError) -> HttpResponse:
    first = error.errors[0]
    return _problem(request, 400, f"{first['loc'][-1]}: {first['msg']}", "see /api/v1/docs")


@api.exception_handler(SlipwayError)
def answer_refused(request: HttpRequest, error: SlipwayError) -> HttpResponse:
    problem, remedy = error.args
    if isinstance(error, CannotCompute):
        return _with_retry_after(_problem(request, 503, problem, remedy))
    return _problem(request, 400 if isinstance(error, WrongInput) else 404, problem, remedy)


@api.exception_handler(Error)
def answer_without_database(request: HttpRequest, error: Error) -> HttpResponse:
    return _with_retry_after(
        _problem(request, 503, "the database does not answer", "try again; operators: see /readyz")
    )


def _with_retry_after(answer: HttpResponse) -> HttpResponse:
    answer["Retry-After"] = RETRY_SECONDS
    return answer


def _problem(request: HttpRequest, status: int, error: str, remedy: str) -> HttpResponse:
    body: dict[str, Any] = {"error": error, "remedy": remedy}
    answer: HttpResponse = api.create_response(request, body, status=status)
    answer["Cache-Control"] = "no-store"
    return answer
