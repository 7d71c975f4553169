"""The HTTP API of version 1: its tokens, its errors, and the apps' parts of it."""

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
from core.http.tokens import caller
from providers.api import router as lines

RETRY_SECONDS = "30"


class Bearer(HttpBearer):
    def authenticate(self, request: HttpRequest, token: str) -> str | None:
        return caller(request)


class Key(APIKeyHeader):
    param_name = "X-API-Key"

    def authenticate(self, request: HttpRequest, key: str | None) -> str | None:
        return caller(request)


api = NinjaAPI(
    title="Slipway",
    version="1",
    description="Derived sports data. Authorize with a token of API_TOKENS.",
    auth=[Bearer(), Key()],
    docs=Swagger({"persistAuthorization": True}),
    urls_namespace="api",
)
api.add_router("/derived", derived)
api.add_router("/lines", lines)


@api.exception_handler(AuthenticationError)
def unknown_caller(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    answer = _problem(request, 401, "no token, or an unknown one", "send Authorization: Bearer TOKEN")
    answer["WWW-Authenticate"] = "Bearer"
    return answer


@api.exception_handler(ValidationError)
def malformed(request: HttpRequest, error: ValidationError) -> HttpResponse:
    first = error.errors[0]
    return _problem(request, 400, f"{first['loc'][-1]}: {first['msg']}", "see /api/v1/docs")


@api.exception_handler(SlipwayError)
def refused(request: HttpRequest, error: SlipwayError) -> HttpResponse:
    problem, remedy = error.args
    if isinstance(error, CannotCompute):
        return _later(_problem(request, 503, problem, remedy))
    return _problem(request, 400 if isinstance(error, WrongInput) else 404, problem, remedy)


@api.exception_handler(Error)
def no_database(request: HttpRequest, error: Error) -> HttpResponse:
    return _later(_problem(request, 503, "the database does not answer", "try again; an operator looks at /readyz"))


def _later(answer: HttpResponse) -> HttpResponse:
    answer["Retry-After"] = RETRY_SECONDS
    return answer


def _problem(request: HttpRequest, status: int, error: str, remedy: str) -> HttpResponse:
    body: dict[str, Any] = {"error": error, "remedy": remedy}
    answer: HttpResponse = api.create_response(request, body, status=status)
    answer["Cache-Control"] = "no-store"
    return answer
