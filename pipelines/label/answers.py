"""What a client of MONAI Label is told where its request fails: the error's own message, where it is meant for a user.

Without it every failure is a bare "Internal Server Error", and the message is in the server's log alone.
"""

from __future__ import annotations

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException, MONAILabelException

from transforms import DataError, DiskError, plain_error

logger = logging.getLogger(__name__)

WRAPPED_IN = (RuntimeError, ValueError, OSError, MONAILabelException)  # which errors for a user are, or come out of
MISSING = (ImageNotFoundException, LabelNotFoundException)


class UnknownImageError(DataError):
    """An image ID that the store does not have."""

    def __init__(self, image: str):
        super().__init__(f"{image}: no image of the store has this ID. GET /datastore/?output=all lists them all.")


def tell_errors(application: FastAPI) -> None:
    """Let an application answer with messages: 404 to an ID that is unknown, 400 to what a user can fix, 500 else."""
    for kind in WRAPPED_IN:
        application.add_exception_handler(kind, _tell)


async def _tell(request: Request, error: Exception) -> JSONResponse:
    plain = plain_error(error)
    if plain is not None:
        message = str(plain)
    elif isinstance(error, MONAILabelException):
        message = error.msg
    else:
        raise error  # a bug: with its traceback in the log
    logger.error("%s %s: %s", request.method, request.url.path, message)
    if isinstance(error, MISSING) or isinstance(plain, UnknownImageError):
        status = HTTPStatus.NOT_FOUND
    elif getattr(plain, "plain", False) and not isinstance(plain, DiskError):  # which is the server's
        status = HTTPStatus.BAD_REQUEST
    else:
        status = HTTPStatus.INTERNAL_SERVER_ERROR
    return JSONResponse({"detail": message}, status_code=status)
